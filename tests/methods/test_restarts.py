"""Many starts: groups of ends, and a study whose descent has two basins."""

from __future__ import annotations

from dataclasses import replace

import mirrored_population
import numpy as np
import pytest
import xarray as xr
from mirrored_population import DESCENT, ERRORS, losses_of, mirrored_problem, starts_on_both_sides

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError, InvariantError
from popinv.methods.outcome import StudyInput
from popinv.methods.restarts import descents, use
from popinv.methods.restarts.descents import descend, descent_end, descents_from
from popinv.methods.restarts.method import Restarts
from popinv.methods.restarts.outlook import group_ends, outlook, share_with_interval

quick = mirrored_population.quick


# --- groups of ends -------------------------------------------------------------------------------


def test_ends_are_grouped_by_standard_errors():
    ends = np.array([[0.0, 5], [0.1, 5], [np.nan, 5], [3, 5], [0.2, 5], [3.1, 5], [0.15, 900]])
    errors = np.array([0.1, 0.0])
    # The second parameter is held, so it does not count.
    np.testing.assert_array_equal(group_ends(ends, errors, 2.0), [0, 0, -1, 1, 0, 1, 0])
    np.testing.assert_array_equal(group_ends(ends[:2], errors, 0.5), [0, 1])
    np.testing.assert_array_equal(group_ends(ends[:1], errors, 0.5), [0])
    # The largest parameter's difference counts, and neighbours of neighbours are connected.
    both = np.array([[0.0, 0.0], [0.09, 0.09], [0.18, 0.18]])
    np.testing.assert_array_equal(group_ends(both, np.array([0.1, 0.1]), 1.0), [0, 0, 0])
    with pytest.raises(ConfigError, match="no standard errors"):
        group_ends(ends, np.array([0.1, np.nan]), 1.0)


def test_intervals_of_shares_are_exact():
    share, low, high = share_with_interval(0, 12)
    assert (share, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - 0.025 ** (1 / 12))
    share, low, high = share_with_interval(3, 12)
    assert low < share == 0.25 < high


def test_one_basin_is_said_with_its_evidence():
    ends = np.array([[0.0], [0.05], [-0.08], [np.nan]])
    found = outlook(ends, losses_of([1.0, 1.0, 1.0, np.nan]), np.array([0.1]), 2.0)
    numbers = found.metrics(0.8)
    assert (numbers["answers"], numbers["diverged"], numbers["better_answer"]) == (1, 1, 0.0)
    assert "one basin: 2 of 3 starts end within 0.8 standard errors" in numbers["statement"]
    assert "1 diverged" in numbers["statement"]


def test_a_better_answer_is_counted_and_a_worse_one_is_not():
    ends = np.array([[0.0], [4.0], [0.1], [4.1], [9.0]])
    better = outlook(ends, losses_of([1.0, 0.8, 1.0, 0.9, 2.0]), np.array([0.1]), 2.0)
    assert better.best_members == (0, 1, 4)
    np.testing.assert_array_equal(better.better, [False, True, False])
    numbers = better.metrics(1.0)
    assert numbers["better_answer"] == 0.5
    assert numbers["answer_1_gain"] == pytest.approx(0.2, abs=2e-3)
    # Half of the starts: 1 - 2^-5 is above 0.95, beside the study's own start.
    assert "descent.restarts: 6" in numbers["statement"]
    worse = outlook(ends, losses_of([1.0, 1.3, 1.0, 1.2, 2.0]), np.array([0.1]), 2.0)
    assert "none of 4 starts finds a better one" in worse.metrics(1.0)["statement"]


# --- descents -------------------------------------------------------------------------------------


def test_the_end_of_a_descent_is_that_before_its_correction():
    stored = {
        "alpha": ("a", [1.0, 2.0]),
        "gamma": ("g", [3.0]),
        "correction": ("p", [0.1, -0.2, 0.0]),
        "correction_covariance": (("p", "q"), np.eye(3)),
    }
    np.testing.assert_allclose(descent_end(xr.Dataset(stored)), [0.9, 2.2, 3.0])
    # One that was too large has not been made.
    stored["correction_covariance"] = (("p", "q"), np.zeros((3, 3)))
    np.testing.assert_allclose(descent_end(xr.Dataset(stored)), [1.0, 2.0, 3.0])
    without = xr.Dataset({name: stored[name] for name in ("alpha", "gamma")})
    np.testing.assert_allclose(descent_end(without), [1.0, 2.0, 3.0])


def made_from(sign: float) -> tuple[descents.Descents, np.ndarray]:
    """Descend from the end in the truth's basin (1) or its image's (-1), and from four starts."""
    problem, truth, answer, starts = mirrored_population.descended(sign)
    return descents_from(problem, DESCENT, answer, ERRORS, starts, 6, 3.0), truth


def test_the_ends_are_in_two_basins_and_the_better_one_is_told(quick):
    made, truth = made_from(-1.0)
    # Every other start is on the truth's side, whose loss is lower.
    right = made.ends[:, 0] > 0
    assert right.tolist() == [False, False, True, False, True]
    np.testing.assert_allclose(made.ends[right, 0], truth[0], atol=0.15)
    assert made.losses[right].mean() < made.losses[~right].mean()
    numbers = made.found.metrics(made.farthest)
    assert numbers["better_answer"] == 0.5
    assert "another start finds a better one" in numbers["statement"]
    stored = made.dataset(starts_on_both_sides(truth), ["a", "b", "c", "d"])
    assert (stored["start"].shape, stored["end"].shape) == ((4, 4), (5, 4))


def test_a_descent_that_diverges_is_counted(quick, monkeypatch):
    problem, truth = mirrored_problem(0.3)
    right = descents.fit_distance

    def diverging(here, settings, starts, description):
        if here.stage.endswith("/1"):
            raise descents.DivergenceError("no step is finite")
        return right(here, settings, starts, description=description)

    monkeypatch.setattr(descents, "fit_distance", diverging)
    ends, legs = descend(problem, DESCENT, [truth, truth], "start")
    assert np.isnan(ends[1]).all()
    assert not np.isnan(ends[0]).any()
    assert legs.tolist() == [1, 0]
    losses = descents.fixed_losses(problem, DESCENT, ends, 3)
    assert np.isnan(losses).all(axis=1).tolist() == [False, True]


# --- the use on a study ---------------------------------------------------------------------------


@pytest.fixture
def descended(quick):
    problem, truth = mirrored_problem(0.3)
    own = replace(problem, stage="descent")
    starts = use.starts_near(own, truth, DESCENT.restarts)
    end = descents.fit_distance(own, DESCENT, starts).estimate.p
    return problem, truth, end


def test_the_studys_own_descent_ends_at_its_answer(descended):
    problem, start, end = descended
    assert descents.same_descent(problem, DESCENT, start, end, ERRORS).difference < 1e-9


def test_a_descent_with_other_settings_than_the_studys_is_noticed(descended):
    problem, start, end = descended
    other = DESCENT.replace(iterations=39)
    with pytest.raises(InvariantError, match="the study's own starts and draws"):
        descents.same_descent(problem, other, start, end, ERRORS)


def test_the_use_on_a_study_tells_of_its_starts(descended, monkeypatch):
    problem, truth, end = descended
    monkeypatch.setattr(use, "surrogate_of", lambda stored: stored)
    monkeypatch.setattr(use, "descent_problem", lambda *others: problem)
    descent = {
        "alpha": ("law", end[:2]),
        "gamma": ("noise", end[2:]),
        "sampling_covariance": (("estimated", "other"), np.diag(ERRORS**2)),
    }
    stores = {
        "surrogate": xr.Dataset(),
        "observations": xr.Dataset(),
        "estimate": xr.Dataset({"alpha": ("law", truth[:2]), "gamma": ("noise", truth[2:])}),
        "descent": xr.Dataset(descent),
    }
    asked = Restarts(starts=3, draws=4)
    outcome = use.use(StudyInput(asked, 0, stores, descent=DESCENT))
    assert outcome.metrics["starts"] == 3
    assert outcome.metrics["legs_most"] == 1
    # All starts are near the estimate, which lies in one basin.
    assert outcome.metrics["statement"].startswith("one basin: 3 of 3 starts end within")
    assert outcome.result is not None
    np.testing.assert_array_equal(outcome.result["end"].values[0], end)
    assert [one.name for one in outcome.invariants] == ["same_start_and_draws"]
    assert drawn(outcome.figures["ends"]).axes
