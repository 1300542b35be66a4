"""Many starts: synthetic losses with known basins, and a study whose law has a mirror image."""

from __future__ import annotations

import math

import mirrored_population
import numpy as np
import pytest
from mirrored_population import DESCENT, ERRORS, descended, losses_of
from test_sgd_dynamics import sample_of

from popinv.charts.matplotlib_writer import drawn
from popinv.inference.estimators.settings import DescentSettings
from popinv.methods.restarts.outlook import outlook
from popinv_papers.sgd_dynamics import figures, finite_rates, slices, use
from popinv_papers.sgd_dynamics.method import SgdDynamics
from popinv_papers.sgd_dynamics.simulation import GradientNoise, double_well, piecewise, simulate

# --- lines ----------------------------------------------------------------------------------------


def noisy(landscape, deviation: float, shared: bool = False):
    """Return a stochastic slope with a known landscape and normal noise.

    Shared noise is the same at every place, as a study's nearly is.
    """

    def slope(x: float, k: int) -> float:
        rng = np.random.default_rng(k if shared else abs(hash((k, round(x, 9)))) % 2**32)
        return float(landscape.slope(np.array(x))) + deviation * rng.standard_normal()

    return slope


def test_critical_points_of_a_known_landscape_are_found():
    measured = slices.slice_of(noisy(double_well(), 0.1), np.linspace(-1.5, 1.5, 31), 100, 2000)
    assert [point.is_maximum for point in measured.points] == [False, True, False]
    np.testing.assert_allclose([p.place for p in measured.points], [-1, 0, 1], atol=0.03)
    np.testing.assert_allclose([p.curvature for p in measured.points], [2, -1, 2], atol=0.6)
    for point in measured.points:
        assert point.deviation == pytest.approx(0.1, rel=0.1)
    lowest = measured.places[np.argmin(measured.height)]
    assert abs(abs(lowest) - 1) < 0.15
    assert drawn(figures.draw_slices({"start": measured})).axes


def test_a_zero_is_found_where_no_slope_next_to_it_is_clear():
    flat = piecewise([], [[0.01, 0.1]])
    measured = slices.slice_of(noisy(flat, 0.2, shared=True), np.linspace(-1, 1, 21), 100, 200)
    (point,) = measured.points
    assert point.curvature == pytest.approx(0.1)
    # The standard error of the mean slope is about 0.02, and that of the place 0.2.
    assert abs(point.place + 0.1) < 4 * 0.2
    assert not point.is_maximum


@pytest.mark.full
def test_hill_finds_the_index_of_a_power_tail():
    for index in (1.5, 3.0):
        sample = sample_of(GradientNoise("pareto", 1.0, index), np.random.default_rng(1), 20_000)
        tail_index, error = slices.hill(sample)
        assert abs(tail_index - index) < 4 * error
    light, _ = slices.hill(np.random.default_rng(1).standard_normal(20_000), 0.01)
    assert light > 5


@pytest.mark.full
def test_a_barrier_is_crossed_as_often_as_the_integral_equation_says():
    """The chance to leave the well of a known landscape, with rates that fall as a descent's."""
    deviation, steps = 1.0, 400
    measured = slices.slice_of(
        noisy(double_well(), deviation), np.linspace(-1.5, 1.5, 61), 1000, 1000
    )
    shifted = slices.Slice(
        measured.places + 1, measured.slope, measured.error, measured.deviation,
        tuple(
            slices.CriticalPoint(p.place + 1, p.curvature, p.deviation, 9.0, 1.0)
            for p in measured.points
        ),
    )  # fmt: skip
    assert shifted.barrier is not None
    bottom, top = shifted.barrier
    assert not bottom.is_maximum
    assert top.is_maximum
    height = shifted.between(bottom.place, top.place, shifted.slope)
    assert height == pytest.approx(0.25, rel=0.1)
    # Epsilon is the rate over the curvature: 0.15.
    rates = np.full(steps, 0.15 * bottom.curvature)
    found = slices.crossing_probability(shifted, rates)
    mean = finite_rates.mean_exit_steps(
        double_well(), GradientNoise("gaussian"), 0.15, 1.0, (-0.5, np.inf)
    )
    assert found == pytest.approx(1 - math.exp(-steps / mean), rel=0.15)
    # Half the rate crosses far less often; without a maximum there is nothing to cross.
    assert slices.crossing_probability(shifted, rates / 2) < 0.1 * found
    bowl = slices.slice_of(noisy(piecewise([], [[0, 2.0]]), 0.1), np.linspace(-1, 1, 11), 50, 60)
    assert bowl.barrier is None
    assert slices.crossing_probability(bowl, rates) == 0.0


def test_rates_are_those_of_every_leg():
    settings = DescentSettings(iterations=5, learning_rate=0.4, final_learning_rate=0.1)
    rates = use._all_rates(settings, 2)
    assert len(rates) == 10
    np.testing.assert_allclose(rates[[0, 4, 5, 9]], [0.4, 0.1, 0.4, 0.1])


# --- how often ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [0.1, -0.1])
def test_how_often_is_right_on_a_loss_with_two_basins(tilt):
    """Starts are normal; the truth is the integral of the exact probability to end in a basin."""
    edge, rate, law = 1.5, 0.02, GradientNoise("gaussian", 0.5)
    value, steep = edge**3 - edge, 3 * edge**2 - 1
    pieces = [
        [-value + steep * edge + tilt, steep],
        [tilt, -1, 0, 1],
        [value - steep * edge + tilt, steep],
    ]
    loss = piecewise([-edge, edge], pieces)
    starts = 0.3 + 0.8 * np.random.default_rng(1).standard_normal(200)
    ends = np.array(
        [simulate(loss, law, rate, x, 800, 1, 1, f"s/{i}").final[0] for i, x in enumerate(starts)]
    )
    depth = np.array([x**4 / 4 - x**2 / 2 + tilt * x for x in [1.0, *ends]])
    found = outlook(np.r_[1.0, ends][:, None], losses_of(list(depth)), np.array([0.12]), 3.0)
    numbers = found.metrics(0.0)
    assert numbers["answers"] == 2
    # The maximum is close to the tilt; noise carries a start over it only near by.
    top = np.roots([1, 0, -1, tilt])
    top = top[np.abs(top) < 0.5][0].real
    left = 0.5 * math.erfc((0.3 - top) / 0.8 / math.sqrt(2))
    # The left basin is the deeper one of a positive tilt.
    truth = left if tilt > 0 else 0.0
    assert numbers["better_answer_low"] <= truth <= numbers["better_answer_high"]
    assert numbers["answer_1_share"] == pytest.approx(left, abs=4 * math.sqrt(0.25 / 200))


# --- a study --------------------------------------------------------------------------------------


quick = mirrored_population.quick


def explored(sign: float, changes: int) -> use.ManyStarts:
    """Explore from the end of a descent in the truth's basin (1) or in its image's (-1)."""
    problem, _, answer, starts = descended(sign)
    asked = SgdDynamics(places=11, draws=8, noise_draws=50, changes=changes)
    return use.explore(problem, DESCENT, answer, ERRORS, starts, asked)


@pytest.mark.full
def test_an_answer_in_the_wrong_basin_is_told_to_start_again(quick):
    found = explored(-1.0, 2)
    numbers = found.metrics
    # The truth's basin holds the other half of the starts.
    assert numbers["better_answer"] == 0.5
    assert "another start finds a better one" in numbers["statement"]
    good = found.descents.ends[1:][found.descents.ends[1:, 0] > 0]
    np.testing.assert_allclose(good[:, 0], 1.0, atol=0.15)
    # The line to it has a barrier, which the descent does not cross by chance.
    assert numbers["answer_1_maxima"] == 1
    assert numbers["answer_1_barrier"] > 0
    assert numbers["answer_1_crossing_probability"] < 0.01
    assert numbers["changes"] == 0
    assert drawn(figures.draw_slices(found.slices)).axes
    stored = use.result_dataset(found, ["a", "b", "c", "d"])
    assert stored["end"].shape == (5, 4)


@pytest.mark.full
def test_the_best_answer_is_kept(quick):
    numbers = explored(1.0, 0).metrics
    assert numbers["better_answer"] == 0
    assert numbers["answers"] > 1
    assert "none of 4 starts finds a better one" in numbers["statement"]
