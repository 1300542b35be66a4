"""Pictures of whole systems, of the noise before and after, and of the rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiers
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from studies import all_axes, assert_whole, at_places, labelled, over_time, titled

from popinv.charts.matplotlib_writer import drawn
from popinv.charts.saving import save_vectors
from popinv.figures.arrangement import arrangement
from popinv.figures.gallery.noise import draw_before_and_after
from popinv.figures.gallery.rule_graph import RuleGraph, draw_rule_graph, read_jobs
from popinv.figures.gallery.systems import draw_systems
from popinv.forward.base import Observations
from popinv.population.observe import observations_dataset

COUNT = 3
LINE = np.linspace(0, 1, 21)


def seen(observed: Observations, clean: np.ndarray) -> xr.Dataset:
    noise = 0.05 * np.random.default_rng(0).standard_normal(clean.shape)
    return observations_dataset(clean + noise, observed, heldout=0)


def parameters(*names: str) -> xr.DataArray:
    values = 1.0 + np.arange(COUNT * len(names)).reshape(COUNT, -1)
    return xr.DataArray(values, dims=("system", "parameter"), coords={"parameter": list(names)})


def dataset(dims: dict[str, np.ndarray], attrs: dict, **variables) -> xr.Dataset:
    described = {}
    for name, (over, values) in variables.items():
        described[name] = (("system", *over), values, {"long_name": name, "units": "1"})
    return xr.Dataset(described, coords=dims, attrs=attrs)


def samples(dimension: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Return porous samples whose pressure is x (1 - x), times y (1 - y), times the number."""
    axes = ("x", "y")[:dimension]
    bump = LINE * (1 - LINE)
    shape = bump if dimension == 1 else np.outer(bump, bump)
    number = np.arange(1, COUNT + 1).reshape(-1, *[1] * dimension)
    field = number + LINE if dimension == 1 else number + LINE[:, None] + 0 * LINE
    states = dataset(
        {axis: LINE for axis in axes},
        {"kind": "porous_flow"},
        pressure=(axes, number * shape),
        log_permeability=(axes, field),
    )
    places = np.random.default_rng(1).uniform(0.1, 0.9, (7, dimension))
    clean = number.reshape(-1, 1) * np.prod(places * (1 - places), axis=1)
    return states, seen(at_places(places), clean)


TIMES = np.linspace(0.5, 4, 8)


def bodies(dimension: int, random: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
    """Return bodies that swing as x cos t."""
    time = np.linspace(0.05, 4, 80)
    number = np.arange(1, COUNT + 1)[:, None, None]
    swing = number * np.cos(time)[:, None] * LINE
    places = np.array([0.25, 0.75])
    clean = (np.arange(1, COUNT + 1)[:, None, None] * places[:, None] * np.cos(TIMES)).reshape(
        COUNT, -1
    )
    if dimension == 1:
        variables = {"displacement": (("time", "x"), swing)}
        if random:
            variables["log_stiffness"] = (("x",), number[:, 0] * LINE)
        states = dataset({"time": time, "x": LINE}, {"kind": "elastodynamics"}, **variables)
        return states, seen(over_time(places, TIMES), clean)
    across = np.linspace(0, 0.2, 5)
    up = np.repeat(swing[..., None], 5, axis=3)
    states = dataset(
        {"time": time, "x": LINE, "y": across},
        {"kind": "elastodynamics"},
        displacement_x=(("time", "x", "y"), 0 * up),
        displacement_y=(("time", "x", "y"), up),
    )
    where = np.column_stack(
        [np.repeat(places, len(TIMES)), np.full(2 * len(TIMES), 0.1), np.tile(TIMES, 2)]
    )
    observed = Observations(where, ("x", "y", "t"), "u_y", "1", "transverse displacement")
    return states, seen(observed, clean)


def climates(windows: int, fast: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
    """Return rings with waves about a mean of 2, 3 and 4, seen by mean and mean square."""
    time, place = 0.5 * np.arange(1, 20 * windows + 1), np.arange(1, 9)
    wave = np.cos(2 * np.pi * (place / 8 - time[:, None] / 5))
    x = 2.0 + np.arange(COUNT)[:, None, None] + wave
    attrs = {"kind": "lorenz96", "window": 10.0, "windows": windows}
    states = dataset({"time": time, "place": place}, attrs, x=(("time", "place"), x))
    if fast:
        y = np.random.default_rng(2).normal(size=(COUNT, 6, 8, 4))
        states = states.assign(y=(("system", "fast_time", "place", "fast_place"), y))
        states = states.assign_coords(fast_time=time[:6])
    means = [(x**power).mean(axis=2).reshape(COUNT, windows, -1).mean(axis=2) for power in (1, 2)]
    labels = [f"{n}, window {w + 1}" for n in ("x", "x_squared") for w in range(windows)]
    where, axes = np.arange(2.0)[:, None], ("quantity",)
    if windows > 1:
        where = np.column_stack([np.repeat([0.0, 1], windows), np.tile(range(windows), 2)])
        axes = ("quantity", "t")
    else:
        labels = ["x", "x_squared"]
    observed = Observations(where, axes, "average", labels=tuple(labels))
    return states, seen(observed, np.concatenate(means, axis=1))


KINDS = {
    "line": (*samples(1), parameters(*(f"mode_{k}" for k in range(9)))),
    "square": (*samples(2), parameters(*(f"mode_{k}" for k in range(9)))),
    "bar": (*bodies(1), parameters("stiffness", "damping")),
    "random_bar": (*bodies(1, random=True), parameters(*(f"mode_{k}" for k in range(9)))),
    "beam": (*bodies(2), parameters("stiffness", "damping")),
    "window": (*climates(1), parameters("forcing")),
    "windows": (*climates(3), parameters("forcing")),
    "scales": (
        *climates(2, fast=True),
        parameters("forcing", "coupling", "time_scale", "space_scale"),
    ),
}


@cache
def picture(kind: str) -> Figure:
    return drawn(draw_systems(*KINDS[kind], title="3 of 20 systems"))


def panels(figure: Figure) -> list[list]:
    """Return the panels by row, without colour bars."""
    axes = [ax for ax in all_axes(figure) if ax.get_label() != "<colorbar>"]
    return [axes[k : k + COUNT] for k in range(0, len(axes), COUNT)]


@pytest.mark.full
@tiers.parameters("kind", *tiers.thinned(KINDS, 3))
def test_every_system_has_a_column_and_nothing_is_left_outside(kind):
    figure = picture(kind)
    assert figure.get_suptitle() == "3 of 20 systems"
    rows = panels(figure)
    assert len(rows) == {"random_bar": 3, "scales": 3}.get(kind, 2)
    assert_whole(figure)
    for ax in rows[-1]:
        assert ax.get_xlabel()


def test_columns_are_named_by_few_parameters_and_numbered_for_many():
    assert panels(picture("bar"))[0][1].get_title(loc="left") == "stiffness 3\ndamping 4"
    lines = "forcing 1\ncoupling 2\ntime scale 3\nspace scale 4"
    assert panels(picture("scales"))[0][0].get_title(loc="left") == lines
    assert panels(picture("line"))[0][2].get_title(loc="left") == "System 3"


def test_samples_show_their_pressure_and_what_was_read():
    states, observations, _ = KINDS["line"]
    for i, ax in enumerate(panels(picture("line"))[1]):
        pressure, read = ax.get_lines()
        np.testing.assert_array_equal(pressure.get_xydata()[:, 1], states["pressure"][i])
        np.testing.assert_array_equal(read.get_xdata(), observations["observation_x"])
        np.testing.assert_array_equal(read.get_ydata(), observations["y"][i])


def test_maps_have_x_across_and_the_sensors_in_their_colours():
    states, observations, _ = KINDS["square"]
    top, bottom = panels(picture("square"))
    for i in range(COUNT):
        # The permeability grows along x, which is along a row of the image.
        image = top[i].get_images()[0]
        np.testing.assert_array_equal(image.get_array()[-1], states["log_permeability"][i, :, -1])
        assert image.get_extent() == [0, 1, 0, 1]
        dots = bottom[i].collections[-1]
        np.testing.assert_array_equal(dots.get_offsets()[:, 1], observations["observation_y"])
        np.testing.assert_array_equal(dots.get_array(), observations["y"][i])
        assert dots.get_clim() == bottom[i].get_images()[0].get_clim()


def test_a_bar_is_drawn_over_place_and_time():
    states, observations, _ = KINDS["bar"]
    top, bottom = panels(picture("bar"))
    image = top[1].get_images()[0]
    np.testing.assert_array_equal(image.get_array(), states["displacement"][1])
    assert image.get_extent() == [0, 1, 4, 0]  # time downwards
    assert sorted(line.get_xdata()[0] for line in top[1].get_lines()) == [0.25, 0.75]
    _, curve, read, *_ = bottom[2].get_lines()
    np.testing.assert_allclose(curve.get_ydata(), 3 * 0.25 * np.cos(states["time"]), atol=1e-12)
    np.testing.assert_array_equal(read.get_ydata(), observations["y"][2, : len(TIMES)])


def test_a_beam_is_drawn_in_its_shapes():
    states, _, _ = KINDS["beam"]
    top, _ = panels(picture("beam"))
    scale = float(top[0].get_ylabel().split()[2])
    for i, ax in enumerate(top):
        bodies = [patch.get_path().vertices for patch in ax.patches]
        assert len(bodies) == 6
        # The first shape is that of the first time, moved upwards in proportion to x.
        first = bodies[0]
        expected = scale * (i + 1) * np.cos(float(states["time"][0]))
        end = first[first[:, 0] == 1]
        assert end[:, 1].max() == pytest.approx(0.2 + expected, rel=0.02)
        clamped = first[first[:, 0] == 0]
        assert (clamped[:, 1].min(), clamped[:, 1].max()) == (0, 0.2)
        # The sensors move with the body.
        dot = ax.get_lines()[1].get_xydata()[0]
        assert dot == pytest.approx([0.75, 0.1 + 0.75 * expected], rel=0.02)


@pytest.mark.parametrize(("kind", "windows"), [("window", 1), ("windows", 3)])
def test_averages_begin_anew_with_each_window_and_end_as_the_mean(kind, windows):
    states, observations, _ = KINDS[kind]
    top, bottom = panels(picture(kind))
    edges = [10.0, 20.0][: windows - 1]
    for i in range(COUNT):
        curves = [line for line in bottom[i].get_lines() if len(line.get_xdata()) == 20]
        assert len(curves) == windows
        for w, curve in enumerate(curves):
            x = states["x"][i].values.reshape(windows, 20, -1)[w]
            assert curve.get_ydata()[0] == pytest.approx(x[0].mean())
            assert curve.get_ydata()[-1] == pytest.approx(x.mean())
        dots = bottom[i].get_lines()[-1]
        np.testing.assert_array_equal(dots.get_xdata(), 10.0 * np.arange(1, windows + 1))
        np.testing.assert_array_equal(dots.get_ydata(), observations["y"][i, :windows])
        # Where one window ends and the next begins is drawn in the diagram too, as far as it goes.
        shown = [line.get_ydata()[0] for line in top[i].get_lines()]
        assert shown == [edge for edge in edges if edge < 20]


def test_fast_variables_are_one_ring():
    states, _, _ = KINDS["scales"]
    middle = panels(picture("scales"))[1]
    image = middle[1].get_images()[0].get_array()
    np.testing.assert_array_equal(image[3], states["y"][1, 3].values.ravel())


def test_states_of_another_kind_are_refused():
    states, observations, z = KINDS["line"]
    with pytest.raises(ValueError, match="no picture for states of kind 'weather'"):
        draw_systems(states.assign_attrs(kind="weather"), observations, z, "")


def kernel(places: np.ndarray, amplitude: float, length: float) -> np.ndarray:
    distance = np.abs(places - places.T)
    return amplitude**2 * np.exp(-distance / length)


def test_noise_before_and_after_is_on_one_scale():
    places = np.linspace(0.05, 0.95, 12)[:, None]
    layout = arrangement(seen(at_places(places), np.zeros((4, 12))))
    start, recovered, true = (kernel(places, *p) for p in ((0.3, 0.3), (0.11, 0.05), (0.1, 0.05)))
    distance = np.abs(places - places.T)
    figure = drawn(draw_before_and_after(start, recovered, true, layout, distance, units="m"))
    off = np.linalg.norm(recovered - true) / np.linalg.norm(true)
    assert 0.2 < off < 0.25
    images = [
        titled(figure, name).get_images()[0]
        for name in ("Before: the start, off by", f"After: recovered, off by {100 * off:.2g} %",
                     "The truth")
    ]  # fmt: skip
    for image, matrix in zip(images, (start, recovered, true), strict=True):
        np.testing.assert_array_equal(image.get_array(), matrix)
        assert image.get_clim() == pytest.approx((0, 0.09))
        # Colours go with the root: a ninth of the largest covariance is a third of the way.
        assert image.norm(0.01) == pytest.approx(1 / 3)
    curves = titled(figure, "Covariance against distance")
    for name, matrix in (("start", start), ("recovered", recovered), ("true", true)):
        distance, value = labelled(curves, name)
        expected = np.interp(distance, places[:, 0] - places[0, 0], matrix[0])
        np.testing.assert_allclose(value, expected, rtol=1e-10)
    assert curves.get_ylabel() == "covariance [m²]"
    few = arrangement(seen(at_places(places[:3]), np.zeros((4, 3))))
    three = drawn(draw_before_and_after(start[:3, :3], recovered[:3, :3], None, few))
    for ax in (*all_axes(three)[:2], titled(three, "Standard deviation of the noise")):
        assert np.all(np.mod(ax.get_xticks(), 1) == 0)
    own = drawn(draw_before_and_after(start, recovered, None, layout))
    assert [ax.get_title(loc="left") for ax in all_axes(own)][:2] == [
        "Before: the start",
        "After: recovered",
    ]


def test_noise_over_time_is_drawn_by_lag():
    places, times = np.array([0.3, 0.6]), np.linspace(1, 6, 6)
    layout = arrangement(seen(over_time(places, times), np.zeros((4, 12))))
    lag = np.abs(times[:, None] - times)
    start = np.kron(np.diag([0.04, 0.09]), np.eye(6))
    recovered = np.kron(np.diag([0.01, 0.02]), 0.5**lag)
    figure = drawn(draw_before_and_after(start, recovered, recovered, layout))
    correlation = titled(figure, "Autocorrelation at x = 0.6")
    np.testing.assert_allclose(labelled(correlation, "recovered")[1], 0.5 ** np.arange(6))
    np.testing.assert_allclose(labelled(correlation, "start")[1], np.arange(6) == 0)
    deviations = titled(figure, "Standard deviation of the noise")
    np.testing.assert_allclose(labelled(deviations, "start")[1], np.repeat([0.2, 0.3], 6))


DOT = """digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
\t0[label = "all", color = "0.1 0.6 0.85", style="rounded"];
\t1[label = "draw\\nround: truth\\nstudy: a", color = "0.1 0.6 0.85", style="rounded"];
\t2[label = "solve\\nround: truth", color = "0.1 0.6 0.85", style="rounded,dashed"];
\t3[label = "propose\\nround: 0", color = "0.1 0.6 0.85", style="rounded"];
\t4[label = "solve\\nround: 0", color = "0.1 0.6 0.85", style="rounded"];
\t5[label = "train\\nround: 0", color = "0.1 0.6 0.85", style="rounded"];
\t6[label = "propose\\nround: 1", color = "0.1 0.6 0.85", style="rounded"];
\t7[label = "solve\\nround: 1", color = "0.1 0.6 0.85", style="rounded"];
\t8[label = "train\\nround: 1", color = "0.1 0.6 0.85", style="rounded"];
\t9[label = "assess", color = "0.1 0.6 0.85", style="rounded"];
\t1 -> 2
\t3 -> 4
\t4 -> 5
\t2 -> 5
\t5 -> 6
\t6 -> 7
\t7 -> 8
\t5 -> 8
\t2 -> 8
\t8 -> 9
\t2 -> 9
\t9 -> 0
}
"""


def test_rules_stand_where_they_first_have_something_to_do():
    graph = read_jobs(DOT)
    assert graph.levels == {"draw": 0, "propose": 0, "solve": 1, "train": 2, "assess": 3}
    assert graph.jobs == {"draw": 1, "propose": 2, "solve": 3, "train": 2, "assess": 1}
    # From solve to assess, and from one training to the next, others lead as well.
    assert graph.arrows == {
        ("draw", "solve"),
        ("propose", "solve"),
        ("solve", "train"),
        ("train", "propose"),
        ("train", "assess"),
    }
    assert graph.back == {("train", "propose")}
    with pytest.raises(ValueError, match="no jobs"):
        read_jobs("digraph snakemake_dag {}")


def test_rules_are_drawn_as_boxes_that_do_not_overlap(tmp_path: Path):
    graph = read_jobs(DOT)
    groups = dict.fromkeys(graph.levels, "active_learning") | {"draw": "population"}
    figure = drawn(draw_rule_graph(graph, groups, "The rules"))
    figure.draw_without_rendering()
    (ax,) = all_axes(figure)
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)]
    names = [text for text in ax.texts if text.get_text() in graph.levels]
    assert len(boxes) == len(names) == len(graph.levels)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        # Each name is in its box.
        text = names[i].get_window_extent()
        assert np.all(box.min <= text.min)
        assert np.all(text.max <= box.max)
    assert {text.get_text() for text in ax.texts} >= {"× 2", "× 3", "next round"}
    for path in (tmp_path / "one.svg", tmp_path / "two.svg"):
        save_vectors(draw_rule_graph(graph, groups, "The rules"), path)
    written = (tmp_path / "one.svg").read_text()
    assert written.startswith("<?xml")
    assert written == (tmp_path / "two.svg").read_text()


def test_a_graph_without_rounds_has_no_way_back():
    graph = RuleGraph(
        {"draw": 0, "solve": 1}, {"draw": 1, "solve": 1}, frozenset({("draw", "solve")})
    )
    assert not graph.back
