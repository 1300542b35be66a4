"""Lorenz-96 as a forward model: its averages, its initial states, and how it fails."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popinv.config.loading import load
from popinv.errors import DataError
from popinv.forward.base import ForwardModel
from popinv.population.laws.section import law_values
from popinv.population.synthetic import parameters as draw
from popinv.seeds import generator
from popinv_models.lorenz96.integrator import Coefficients, advance
from popinv_models.lorenz96.section import OBSERVABLES, Observable
from popinv_models.lorenz96.section import Lorenz96 as Section


def section(**keys):
    checked = Section(kind="lorenz96", **keys)
    assert not list(checked.problems())
    return checked


ONE = {"variables": 12, "spin_up": 1.0, "window": 2.0}
TWO = {"scales": 2, "variables": 8, "subvariables": 4, "spin_up": 0.5, "window": 1.0}
Z_TWO = np.array([10.0, 1.0, 4.0, 6.0])


def measure(name, x, y):
    """Return an observable of states (n, K) and (n, K, J), from its definition."""
    mean = y.mean(axis=2) if y.shape[2] else np.full_like(x, np.nan)
    ring = y.reshape(len(y), -1)
    if name.startswith("x_lag_"):
        return (x * np.roll(x, -int(name[-1]), axis=1)).mean(axis=1)
    values = {
        "x": x,
        "x_squared": x**2,
        "y": ring,
        "y_squared": ring**2,
        "y_lag_1": ring * np.roll(ring, -1, axis=1),
        "y_mean_squared": mean**2,
        "x_y": x * mean,
        "x_y_lag_1": x * np.roll(mean, -1, axis=1),
    }
    return values[name].mean(axis=1)


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("scales", [1, 2])
def test_averages_are_those_of_the_trajectory(scales, windows):
    names = [n for n in get_args(Observable) if scales == 2 or "y" not in n.split("_")]
    given = ONE if scales == 1 else TWO
    forward = section(**given, windows=windows, observables=names, sample_every=10)
    model = forward.model(5)
    z = np.array([[8.0], [5.0]]) if scales == 1 else np.array([Z_TWO, 0.9 * Z_TWO])
    averages = model.solve(z, "some", 3).observations.reshape(2, len(names), windows)

    coefficients = Coefficients.of(z, model.subvariables)
    dt, x, y = model.time_step, *model.initial_states(np.array([3, 4]), "some")
    x, y = advance(x, y, coefficients, dt, round(forward.spin_up / dt))
    for window in range(windows):
        samples = []
        for _ in range(round(forward.window / (10 * dt))):
            x, y = advance(x, y, coefficients, dt, 10)
            samples.append([measure(name, x, y) for name in names])
        # The sums are taken in another order.
        np.testing.assert_allclose(averages[:, :, window].T, np.mean(samples, axis=0), rtol=1e-10)


def test_statistics_of_the_attractor():
    # Lorenz and Emanuel (1998), K = 40 and F = 8: mean 2.34, standard deviation 3.64.
    model = section(variables=40, window=100.0).model(1)
    y = model.solve(np.full((32, 1), 8.0)).observations.mean(axis=0)
    # The sampling error of 32 windows of 100 units is 0.005 in the mean, 0.04 in the square.
    assert y[0] == pytest.approx(2.34, abs=0.02)
    assert np.sqrt(y[1] - y[0] ** 2) == pytest.approx(3.64, abs=0.03)


def test_averages_keep_the_balances_of_energy_and_mean():
    # d/dt of mean(X), mean(X^2) / 2 and mean(Y^2) / 2 average to what the window's ends differ
    # by, over its length, and to nothing over a long one.
    names = ["x", "x_squared", "x_lag_1", "x_lag_2", "y", "y_squared", "x_y"]
    given = TWO | {"window": 500.0, "spin_up": 10.0, "observables": names}
    y = section(**given).model(2).solve(np.tile(Z_TWO, (8, 1))).observations
    x, x_2, lag_1, lag_2, y_1, y_2, x_y = y.mean(axis=0)
    forcing, h, c, _ = Z_TWO
    # Ends differ by 2 in mean(X) and 20 in mean(X^2) / 2 at most, over 500 units and 8 members;
    # sampled every tenth step, the averages are within 1 % of those over all.
    assert x == pytest.approx(forcing + lag_2 - lag_1 - h * c * y_1, rel=0.02)
    assert x_2 == pytest.approx(forcing * x - h * c * x_y, rel=0.01)
    assert y_2 == pytest.approx(h / 4 * x_y, rel=0.01)


def test_the_sampling_error_falls_with_the_window():
    # Variance proportional to 1 / window once that is long against the memory of the flow. With
    # 192 members a ratio of variances has a standard error of 14 %.
    z = np.full((192, 1), 8.0)
    short, long = (
        section(variables=12, window=w, observables=["x", "x_squared"])
        .model(1)
        .solve(z)
        .observations.var(axis=0)
        for w in (20.0, 80.0)
    )
    np.testing.assert_allclose(short / long, 4, rtol=0.45)


@pytest.mark.parametrize("given", [ONE, TWO], ids=["one scale", "two scales"])
def test_a_row_depends_on_itself_alone(given):
    model = section(**given).model(3)
    rng = np.random.default_rng(0)
    z = (Z_TWO * rng.uniform(0.8, 1.2, (70, 4)))[:, : len(model.parameters)]
    whole = model.solve(z, "s", 100)
    assert not whole.failed.any()
    for first, end in ((0, 1), (31, 34), (5, 70)):
        part = model.solve(z[first:end], "s", 100 + first)
        np.testing.assert_array_equal(part.observations, whole.observations[first:end])
    z[[2, 40]] = np.nan
    with_gaps = model.solve(z, "s", 100)
    kept = ~with_gaps.failed
    assert kept.sum() == 68
    np.testing.assert_array_equal(with_gaps.observations[kept], whole.observations[kept])
    assert np.isnan(with_gaps.observations[~kept]).all()


def test_initial_states_are_addressed_by_seed_stage_and_index():
    model = section(**TWO).model(7)
    slow, fast = model.initial_states(np.array([4, 9]), "stage")
    assert slow.shape == (2, 8)
    assert fast.shape == (2, 8, 4)
    for i, index in enumerate((4, 9)):
        rng = generator(7, "stage/initial_state", index)
        x, y = rng.standard_normal(8), rng.standard_normal((8, 4))
        for drawn, normal in ((slow[i], x), (fast[i], y)):
            # Standard normal numbers, shifted and scaled.
            fit = np.polyfit(normal.ravel(), drawn.ravel(), 1)
            np.testing.assert_allclose(np.polyval(fit, normal), drawn, atol=1e-12)
    z = Z_TWO[None]
    here = model.solve(z, "stage", 4).observations
    np.testing.assert_array_equal(here, model.solve(z, "stage", 4).observations)
    others = [
        model.solve(z, "stage", 5),
        model.solve(z, "other", 4),
        section(**TWO).model(8).solve(z, "stage", 4),
    ]
    assert all(np.all(here != other.observations) for other in others)


def test_what_cannot_be_solved_says_why():
    model = section(**TWO).model(1)
    z = np.tile(Z_TWO, (5, 1))
    z[1, 0], z[2, 2], z[3, 0], z[4, 1] = np.inf, -1.0, 1e9, np.nan
    solutions = model.solve(z)
    assert list(solutions.reason) == [
        "",
        "parameter 'forcing' is inf",
        "parameter 'time_scale' is not positive",
        "the trajectory left the range of numbers",
        "parameter 'coupling' is nan",
    ]
    assert np.isfinite(solutions.observations[0]).all()
    assert np.isnan(solutions.observations[1:]).all()
    with pytest.raises(DataError, match=r"\(n, 4\).*forcing, coupling"):
        model.solve(np.zeros((3, 1)))
    assert model.solve(np.empty((0, 4))).observations.shape == (0, 9)


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("windows", [1, 4])
def test_section_and_model_agree(scales, windows):
    checked = Section(kind="lorenz96", scales=scales, windows=windows)
    model, observations = checked.model(1), checked.observed(1)
    assert isinstance(model, ForwardModel)
    assert checked.random_field() is None
    assert checked.parameter_names() == tuple(parameter.name for parameter in model.parameters)
    assert (
        len(observations)
        == checked.observation_count()
        == len(observations.labels)
        == len(set(observations.labels))
    )
    assert checked.has_sampling_error()
    if windows == 1:
        assert checked.time_count() is None
        assert observations.coordinate_names == ("quantity",)
    else:
        assert checked.time_count() == windows
        assert observations.coordinate_names == ("quantity", "t")
        # Quantity by quantity, time fastest, at the middle of each window.
        by_quantity = observations.coordinates.reshape(-1, windows, 2)
        for quantity, coordinates in enumerate(by_quantity):
            assert np.all(coordinates[:, 0] == quantity)
        np.testing.assert_allclose(by_quantity[0, :, 1], 50.0 * (np.arange(windows) + 0.5))
    assert set(OBSERVABLES) == set(get_args(Observable))


@pytest.mark.parametrize("given", [ONE, TWO], ids=["one scale", "two scales"])
def test_the_default_law_draws_what_can_be_solved(given):
    means = (
        {"forcing": 8.0}
        if given is ONE
        else dict.fromkeys(("forcing", "coupling", "time_scale", "space_scale"), 1.0)
    )
    truth = {name: {"mean": m, "standard_deviation": 0.5} for name, m in means.items()}
    study = {
        "forward": {"kind": "lorenz96", **given},
        "observations": {"truth": {"law": truth, "noise": {"standard_deviation": 0.1}}},
    }
    study = load({"studies": {"a": study}}, "test").studies["a"]
    assert study.has_sampling_error()
    without = study.assessment.model_copy(update={"repeats": 0})
    assert not study.model_copy(update={"assessment": without}).has_sampling_error()
    model = study.law.law(study.forward)
    alpha = law_values(study.law, study.law.start, study.forward)
    z = draw(model, alpha, 1, "test", 40)
    forward = study.forward.model(1)
    assert not forward.solve(z).failed.any()
    assert study.noise.noise(forward.observations).d_y == len(forward.observations)


@pytest.mark.parametrize(
    ("keys", "at", "text"),
    [
        ({"window": 2.06}, "window", "such as 2.1"),
        ({"spin_up": 0.125, "time_step": 0.05, "sample_every": 1}, "spin_up", "such as 0.1"),
        ({"observables": ["x", "y_squared"]}, "observables", "scales: 2"),
        ({"observables": ["x", "x"]}, "observables", "once is enough"),
        ({"subvariables": 8}, "subvariables", "only 'scales: 2'"),
        ({"time_step": 1e-9, "sample_every": 10**8}, "time_step", "takes 6e+10 time steps"),
    ],
)
def test_contradictions_are_named(keys, at, text):
    problems = list(Section(kind="lorenz96", **keys).problems())
    assert [problem.path[0] for problem in problems] == [at]
    assert text in problems[0].text


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 40), max_size=4).map(sorted), first=st.integers(0, 10**9))
def test_any_split_into_chunks_gives_the_same_solves(cuts, first):
    model = section(**ONE).model(5)
    z = np.linspace(7.0, 12.0, 40)[:, None]
    whole = model.solve(z, "solve/0", first).observations
    parts = [
        model.solve(z[start:stop], "solve/0", first + start).observations
        for start, stop in pairwise([0, *cuts, 40])
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
