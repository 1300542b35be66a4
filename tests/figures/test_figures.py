"""Figures of small synthetic studies: what they show is what the artefacts hold."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.text import Text
from studies import (
    ABSENT,
    LINE,
    SQUARE,
    Study,
    all_axes,
    at_places,
    labelled,
    line_study,
    make_study,
    observed,
    square_study,
    titled,
    vector_study,
)
from tiers import parameters

from popinv.charts.description import Axis, Grid, Line, Panel, Sheet
from popinv.charts.matplotlib_writer import drawn
from popinv.charts.saving import save
from popinv.charts.style import CHECK, TRUTH, axis_label, running_mean, style
from popinv.figures.draws import law_draws, plane
from popinv.figures.law import FieldDraws, MarginalDraws
from popinv.figures.names import FIGURES
from popinv.figures.simulated import LEVELS
from popinv.figures.solver import Plane, draw_solver_calls
from popinv.figures.study import draw_all
from popinv.figures.surrogate import draw_surrogate_error
from popinv.inference.checks.surrogate_intervals import HeldOutSolves
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise


@pytest.fixture(scope="module")
def line() -> Study:
    return line_study()


@pytest.fixture(scope="module")
def square() -> Study:
    return square_study()


@pytest.fixture(scope="module")
def vector() -> Study:
    return vector_study()


def digests(folder) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


# The default tier writes those that draw random numbers.
@pytest.mark.full
@parameters("names", [("observations", "law")], full=[FIGURES], ids=len)
def test_every_figure_is_written_and_the_same_twice(
    names: tuple[str, ...], line: Study, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("popinv.charts.saving._DPI", 30)
    monkeypatch.setattr("popinv.figures.study.FIGURES", names)
    draw_all(line.problem, line.loaded, tmp_path / "all")
    first = digests(tmp_path / "all")
    assert set(first) == {f"{name}.{kind}" for name in names for kind in ("png", "csv")}
    for name in {*names} & {"observations", "law", "solver_calls"}:
        save(line.chart(name), tmp_path / "again.png")
        again = hashlib.sha256((tmp_path / "again.png").read_bytes()).hexdigest()
        assert again == first[f"{name}.png"]


def test_settings_neither_leak_out_nor_in(tmp_path) -> None:
    sheet = Sheet("A title", 2, 2, Grid([Panel(Axis("x"), Axis("y"), [Line([0, 1], [0, 1])])]))
    save(sheet, tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        save(sheet, tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_style_is_undone_after_an_error() -> None:
    before = dict(matplotlib.rcParams)
    with pytest.raises(RuntimeError), style():
        raise RuntimeError
    assert dict(matplotlib.rcParams) == before


# On a line with a truth, all are written above; of other studies, those that depend on the kind.
@parameters(
    "kind, absent, names",
    [
        ("line", ABSENT, ("law", "noise_covariance", "descent")),
        ("square", (), ("law",)),
    ],
    full=[("line", ABSENT, FIGURES), ("square", (), FIGURES), ("vector", (), FIGURES)],
)
def test_every_figure_of_every_study(
    kind: str, absent: tuple[str, ...], names: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    study: Study = request.getfixturevalue(kind).without(*absent)
    for name in names:
        figure = study.draw(name)
        assert figure.get_suptitle()
        # Laying out finds what only drawing shows. The figures on a line are written elsewhere.
        if kind != "line":
            figure.draw_without_rendering()
        shown = [ax for ax in all_axes(figure) if ax.axison and ax.has_data()]
        assert shown, name
        colours = {line.get_color() for ax in shown for line in ax.get_lines()}
        truthful = name in ("law", "noise_covariance", "descent")
        assert not (absent and truthful and TRUTH in colours), name


@parameters("units", [r"$\frac$"], full=["$", "$/kg$", r"\$_^{", "%"])
def test_a_unit_is_drawn_as_it_is_written(line: Study, units: str) -> None:
    observations, check = (line.loaded[name].copy() for name in ("observations", "check"))
    for data in (observations, check):
        for name in (*data, *data.coords):
            if "units" in data[name].attrs:
                data[name] = data[name].assign_attrs(units=units)
    study = replace(line, loaded={**line.loaded, "observations": observations, "check": check})
    for name in ("observations", "examples", "noise_covariance"):
        figure = study.draw(name)
        figure.draw_without_rendering()
        drawn = [text for text in figure.findobj(Text) if f"[{units}]" in text.get_text()]
        assert name != "observations" or drawn
        assert not any(text.get_parse_math() for text in drawn)


@parameters("absent", [ABSENT], full=[()])
def test_a_single_sensor_and_a_single_parameter(absent: tuple[str, ...]) -> None:
    noise = KernelNoise(LINE[:1], "exponential", nugget=False)
    alpha, gamma = np.array([0.0, 0.0]), np.log([0.2, 0.3])
    study = make_study(normal_law(["a"]), alpha, noise, gamma, at_places(LINE[:1])).without(*absent)
    for name in FIGURES:
        study.draw(name)


def test_unknown_figure(line: Study) -> None:
    with pytest.raises(ValueError, match="there is no figure 'nothing'; the figures are obs"):
        line.draw("nothing")


def test_observations_on_a_line_show_the_quantiles(line: Study) -> None:
    observations = line.loaded["observations"]
    y = observations["y"].values
    sets = np.random.default_rng(0).normal(size=(39, len(y), len(LINE)))
    top, bottom = all_axes(observed(observations, sets))
    expected = np.quantile(y, LEVELS, axis=0)
    shown = labelled(top, "data, 5, 50, 95 %")
    np.testing.assert_allclose(shown, [LINE[:, 0], expected[1]])
    simulated = np.quantile(sets, LEVELS, axis=1).swapaxes(0, 1)
    middle = np.median(simulated, axis=0)
    np.testing.assert_allclose(labelled(top, "model, 5, 50, 95 %")[1], middle[1])
    # Of 39 data sets, the smallest and the largest are the ends of the 95 % range.
    bands = [c.get_datalim(top.transData) for c in top.collections]
    assert [(band.y0, band.y1) for band in bands] == [
        pytest.approx((simulated[:, i].min(), simulated[:, i].max())) for i in range(3)
    ]
    assert top.get_ylabel() == "observed head [m]"
    assert bottom.get_xlabel() == "x, place of the sensor [km]"
    for i, level in enumerate(LEVELS):
        away = expected[i] - middle[i]
        end = np.where(away > 0, simulated[:, i].max(axis=0), simulated[:, i].min(axis=0))
        shown = labelled(bottom, f"{100 * level:g} %")[1]
        np.testing.assert_allclose(shown, away / np.abs(end - middle[i]))


def test_observations_are_sorted_by_place(line: Study) -> None:
    shuffle = np.random.default_rng(0).permutation(len(LINE))
    observations = line.loaded["observations"].isel(observation=shuffle)
    figure = observed(observations, [observations["y"].values] * 3)
    x, median = labelled(all_axes(figure)[0], "model, 5, 50, 95 %")
    assert x == pytest.approx(LINE[:, 0])
    assert median == pytest.approx(np.median(line.loaded["observations"]["y"].values, axis=0))


def test_observations_on_a_square_show_x_across(square: Study) -> None:
    observations = square.loaded["observations"]
    # A store may give the coordinates back in another order.
    turned = observations.drop_vars("observation_x").assign_coords(
        observation_x=observations["observation_x"]
    )
    shifts = np.array([0.0, 0.01, 0.05])
    sets = [(1 + shift) * observations["y"].values + shift for shift in shifts]
    figure = observed(turned, sets)
    ax = titled(figure, "Mean, data")
    (dots,) = ax.collections
    np.testing.assert_array_equal(dots.get_offsets(), SQUARE)
    np.testing.assert_allclose(dots.get_array(), observations["y"].values.mean(axis=0))
    assert ax.get_ylabel() == "y, place of the sensor [km]"
    (dots,) = next(ax for ax in all_axes(figure) if "minus" in ax.get_title("left")).collections
    means = np.mean(sets, axis=1)
    away = (observations["y"].values.mean(axis=0) - means.mean(axis=0)) / means.std(axis=0)
    np.testing.assert_allclose(dots.get_array(), away)
    below = titled(figure, "Standard deviation, data")
    assert below.get_xlabel() == "x, place of the sensor [km]"


def test_observations_in_three_coordinates_are_shown_by_number(line: Study) -> None:
    observations = line.loaded["observations"]
    for name in ("y", "t"):
        observations = observations.assign_coords(
            {f"observation_{name}": observations["observation_x"]}
        )
    figure = observed(observations, [observations["y"].values] * 3)
    assert all_axes(figure)[1].get_xlabel() == "number of the observation"


def test_law_shows_estimate_interval_truth_and_oracle(line: Study) -> None:
    figure, population = line.draw("law"), line.loaded["population"]
    for i, name in enumerate(("mean", "standard deviation", "length")):
        ax = titled(figure, f"{name}: ")
        low, high = population["law_lower"].values[i], population["law_upper"].values[i]
        assert f"({low:.3g} to {high:.3g}), true" in ax.get_title(loc="left")
        assert labelled(ax, "recovered")[0] == pytest.approx(population["law"].values[i])
        known = line.loaded["noise_known"]["law"].values[i]
        assert labelled(ax, "noise known")[0] == pytest.approx(known)
        segments = {c.get_label(): c.get_segments()[0] for c in ax.collections}
        np.testing.assert_allclose(segments["95 % interval"][:, 0], [low, high])
        true = line.loaded["truth"]["law"].values[i]
        np.testing.assert_allclose(segments["truth"][:, 0], true)


def test_density_of_the_law_is_a_density(line: Study) -> None:
    ax = titled(line.draw("law"), "Log-permeability at the mid-point")
    for label in ("recovered", "truth"):
        x, density = labelled(ax, label)
        assert density.min() >= 0
        assert np.trapezoid(density, x) == pytest.approx(1, abs=0.01)


def test_laws_are_compared_on_the_same_random_numbers(line: Study) -> None:
    truth = line.loaded["truth"]
    same = line.loaded["population"].assign(alpha=truth["alpha"])
    draws = law_draws(line.problem, same, truth, [])
    assert isinstance(draws, FieldDraws)
    np.testing.assert_array_equal(draws.recovered, draws.true)
    # Mean plus cosines: with four of them and length 0.3 the spread is the law's within a few %.
    assert draws.recovered.mean() == pytest.approx(0.5, abs=0.02)
    assert draws.recovered.var(axis=0).mean() ** 0.5 == pytest.approx(np.exp(-0.9), rel=0.05)


def test_sample_maps_have_y_upwards(square: Study) -> None:
    draws = law_draws(square.problem, square.loaded["population"], square.loaded["truth"], [])
    assert isinstance(draws, FieldDraws)
    assert draws.squares is not None
    maps, true = draws.squares
    assert true is not None
    # The row nearest to y = 1/2 is the field on the line at y = 1/2, to the width of a cell.
    across = np.interp(
        (np.arange(maps.shape[2]) + 0.5) / maps.shape[2], draws.points, draws.true[0]
    )
    middle = true[0][[maps.shape[1] // 2 - 1, maps.shape[1] // 2]].mean(axis=0)
    np.testing.assert_allclose(middle, across, atol=0.2)


def test_law_of_a_few_named_parameters_shows_all(vector: Study) -> None:
    draws = law_draws(vector.problem, vector.loaded["population"], None, list("abcd"))
    assert isinstance(draws, MarginalDraws)
    assert [marginal.name for marginal in draws.marginals] == ["a", "b", "c", "d"]
    assert all(marginal.true is None for marginal in draws.marginals)


def test_noise_covariance_shares_one_scale(line: Study) -> None:
    figure, population = line.draw("noise_covariance"), line.loaded["population"]
    estimate = population["noise_covariance"].values
    true = line.loaded["truth"]["noise_covariance"].values
    panels = [titled(figure, start) for start in ("Recovered", "True", "Difference")]
    for ax, expected in zip(panels, (estimate, true, estimate - true), strict=True):
        (image,) = ax.images
        np.testing.assert_allclose(image.get_array(), expected)
        largest = max(np.abs(estimate).max(), np.abs(true).max())
        assert image.get_clim() == pytest.approx((-largest, largest))
    curve = titled(figure, "Covariance against distance")
    assert curve.get_ylabel() == "covariance [m²]"
    distance, covariance = labelled(curve, "true")
    np.testing.assert_allclose(covariance, 0.01 * np.exp(-distance / 0.3), rtol=1e-6)


def test_noise_covariance_without_truth_compares_with_the_data(line: Study) -> None:
    study = line.without("truth")
    figure = study.draw("noise_covariance")
    (image,) = titled(figure, "Empirical").images
    assert "recovered and empirical" in figure.get_suptitle()
    # The right law and noise leave about the noise's covariance, at this number of systems.
    data = np.cov(line.problem.data, rowvar=False)
    assert np.all(np.diag(image.get_array()) < np.diag(data))


def test_noise_of_no_kernel_is_shown_by_sensor(square: Study) -> None:
    ax = titled(square.draw("noise_covariance"), "Standard deviation of the noise")
    expected = np.linspace(0.1, 0.2, len(SQUARE))
    np.testing.assert_allclose(labelled(ax, "true")[1], expected)


def test_descent_shows_paths_truth_and_intervals(line: Study) -> None:
    figure, population = line.draw("descent"), line.loaded["population"]
    ax = titled(figure, "noise: length")
    np.testing.assert_allclose(labelled(ax, "path")[1], population["noise_path"].values[:, 1])
    np.testing.assert_allclose(labelled(ax, "truth")[1], 0.3)
    assert labelled(ax, "answer")[1] == pytest.approx(population["noise"].values[1])
    band = ax.collections[0].get_datalim(ax.transData)
    ends = population["noise_lower"].values[1], population["noise_upper"].values[1]
    assert (band.y0, band.y1) == pytest.approx(ends)
    loss = titled(figure, "Loss, weighted by the noise")
    np.testing.assert_allclose(labelled(loss, "each iteration")[1], population["loss"].values)
    fixed = population["fixed_loss"].values
    (line_shown,) = titled(figure, "Loss in a fixed metric").get_lines()
    np.testing.assert_allclose(line_shown.get_ydata(), fixed[~np.isnan(fixed)])


def test_surrogate_error_by_round(line: Study) -> None:
    check = line.loaded["check"]
    figure = drawn(draw_surrogate_error(check, line.loaded["surrogate"], threshold=0.1))
    left, right = all_axes(figure)
    error = check["surrogate_error"].values
    assert np.isnan(error).tolist() == [True, False, True, False]
    np.testing.assert_allclose(labelled(left, "on a round's fresh solves"), [[1], [error[1]]])
    np.testing.assert_allclose(labelled(left, "final check"), [[3], [error[3]]])
    np.testing.assert_allclose(labelled(left, "good enough, below 0.1")[1], 0.1)
    ticks = [t.get_text() for t in left.get_xticklabels()]
    assert ticks == ["0\n(none yet)", "1", "2\n(no solves)", "check"]
    np.testing.assert_allclose(labelled(right, "validation")[1], [1.1, 0.2, 0.05, 0.07])
    np.testing.assert_allclose(labelled(right, "kept, epoch 3"), [[3], [0.05]])


def test_surrogate_error_where_none_was_judged(line: Study) -> None:
    check = line.loaded["check"]
    nothing = check.assign(surrogate_error=check["surrogate_error"] * np.nan)
    figure = drawn(draw_surrogate_error(nothing, line.loaded["surrogate"]))
    figure.draw_without_rendering()
    assert any("no surrogate" in t.get_text() for t in all_axes(figure)[0].texts)


def test_predictions_of_a_gaussian_process_and_their_intervals(line: Study) -> None:
    true = np.random.default_rng(1).standard_normal((40, 3))
    predicted = true + np.array([0.0, 0.1, 0.3])
    held_out = HeldOutSolves(true, predicted, np.full((40, 3), 0.1))
    figure = drawn(draw_surrogate_error(line.loaded["check"], xr.Dataset(), held_out=held_out))
    figure.draw_without_rendering()
    right = all_axes(figure)[1]
    # The third observation lies outside its intervals, the others within.
    assert "67% of 120 values" in right.get_title(loc="left")
    assert "observation 3" in right.get_xlabel()
    (bars,) = right.containers
    assert bars.get_label() == "it does not"
    np.testing.assert_allclose(bars.lines[0].get_xdata(), true[:, 2])
    np.testing.assert_allclose(bars.lines[0].get_ydata(), predicted[:, 2])


def test_solver_calls_by_round(line: Study) -> None:
    figure, check = line.draw("solver_calls"), line.loaded["check"]
    first, second = titled(figure, "Round 0: 50 solves"), titled(figure, "Round 1: 30 solves")
    empty, last = titled(figure, "Round 2: 0 solves"), titled(figure, "Final check: 20 solves")
    assert [len(c.get_offsets()) for c in first.collections[:2]] == [46, 4]
    assert [len(c.get_offsets()) for c in second.collections[:2]] == [30, 0]
    assert "no new solves" in empty.texts[0].get_text()
    assert matplotlib.colors.to_hex(last.collections[0].get_facecolor()[0]).upper() == CHECK
    bars = titled(figure, "100 calls, 4 failed")
    heights = [b.get_height() for b in bars.patches]
    assert heights == [*check["solver_calls"].values, *check["solver_failures"].values]


def test_a_field_is_placed_by_its_means_over_thirds(line: Study) -> None:
    names = [str(n) for n in line.loaded["check"]["parameter"].values]
    rounds = [line.loaded[f"estimate_{r}"] for r in range(3)]
    placed = plane(line.problem, line.loaded["population"], rounds, line.loaded["check"], names)
    z = line.loaded["check"]["z"].values
    k = np.arange(1, 5)
    # The integral of cos(pi k x) over the first third, and over the last by symmetry.
    first = 3 * np.sin(np.pi * k / 3) / (np.pi * k)
    expected = z[:, :1] + z[:, 1:] @ np.column_stack([first, first * (-1.0) ** k])
    np.testing.assert_allclose(placed.solves, expected, atol=5e-3)


def test_contours_hold_their_share_of_the_population(line: Study) -> None:
    rng = np.random.default_rng(0)
    check = line.loaded["check"]
    solved = rng.standard_normal((check.sizes["sample"], 2))
    # Each round's population is of another size; the smoothing widens a contour a little.
    sizes = (0.7, 1.0, 1.0, 0.8)
    populations = tuple(size * rng.standard_normal((20000, 2)) for size in sizes)
    figure = drawn(draw_solver_calls(check, Plane(("p", "q"), "", solved, populations)))
    for title, size in (("Round 0", 0.7), ("Round 1", 1.0), ("Final check", 0.8)):
        ax = titled(figure, title)
        contours = next(c for c in ax.collections if hasattr(c, "levels"))
        for path, share in zip(contours.get_paths(), (0.9, 0.5), strict=True):
            radius = size * np.sqrt(-2 * np.log(1 - share))
            assert np.median(np.hypot(*path.vertices.T)) == pytest.approx(radius, rel=0.1)


def test_a_population_on_a_line_can_be_drawn(line: Study) -> None:
    check = line.loaded["check"]
    on_line = np.column_stack([np.full(100, 2.0), np.linspace(0, 1, 100)])
    figure = drawn(draw_solver_calls(check, Plane(("p", "q"), "", on_line, (on_line,) * 4)))
    figure.draw_without_rendering()
    assert titled(figure, "Round 0").get_xlabel() == "p"


def test_axis_label() -> None:
    assert axis_label("head") == "head"
    assert axis_label("head", "m") == "head [m]"


def test_running_mean() -> None:
    np.testing.assert_allclose(running_mean(np.array([1.0, 2, 6, 4]), 3), [1, 3, 4, 4])


def test_title_goes_into_the_file_and_the_version_does_not(tmp_path) -> None:
    # Rules give their outputs as text.
    panel = Panel(Axis(), Axis(), [Line([0, 1], [0, 1])])
    save(Sheet("A title", 2, 2, Grid([panel])), str(tmp_path / "figure.png"))
    content = (tmp_path / "figure.png").read_bytes()
    assert b"A title" in content
    assert b"matplotlib" not in content.lower()
