"""The search, the numbers that reach a wish, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from planned_experiments import (
    LINE_TRUTH,
    WARFARIN,
    experiment_of,
    lines,
    warfarin,
)

from popinv.errors import ConfigError
from popinv.planning.criteria import standard_errors
from popinv.planning.design import Costs, Width, Wishes, designed, intervals
from popinv.planning.experiment import Arm
from popinv.planning.search import Group, Search, regular_places
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.discrepancy import SharedDiscrepancy
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise, IsotropicNoise

NAMES = ["intercept", "slope"]


@pytest.fixture(scope="module")
def experiment():
    return experiment_of(lines(), LINE_TRUTH, NAMES)


@pytest.mark.parametrize("wanted", [(), ("slope_standard_deviation",), ("noise_length",)])
@pytest.mark.parametrize("name", ["D", "A"])
def test_the_exchange_finds_the_best_of_all_subsets(experiment, name, wanted):
    criterion = experiment.criterion(experiment.p, name, wanted)
    search = Search([experiment.scenario(experiment.p, criterion, 4)])
    (best,) = search.best(4, 100)
    every = itertools.combinations(range(experiment.count), 4)
    values = {places: search.value([Group(0, places, 100)]) for places in every}
    # An exchange ends in a local optimum; of these 126 subsets it is the best, or as good.
    assert values[best.places] <= min(values.values()) + 1e-6


def test_means_count_in_standard_deviations_of_the_population(experiment):
    criterion = experiment.criterion(experiment.p, "A", ("intercept_mean", "slope_mean"))
    total = np.diag([4.0, 9.0, 1.0, 1.0, 1.0, 1.0])
    # Their variances are 1/4 and 1/9, and the variances of the population exp(2 p).
    relative = np.array([1 / 4, 1 / 9]) / np.exp(2 * LINE_TRUTH[2:4])
    # What stands for nothing known adds 1e-4 to an information in units of the scales.
    assert criterion.of_information(total) == pytest.approx(0.5 * np.log(relative.mean()), abs=1e-4)


def test_doses_are_divided_as_the_best_weights_say():
    # y = z dose + noise with known noise: only the total of the squares of the doses counts for
    # the mean, and the best division gives all systems the larger dose.
    law = normal_law(["a"])
    problem = replace(
        lines(DiagonalNoise(9)),
        law=law,
        simulate=lambda z: z[:, :1] * z[:, 1:2] * torch.ones(9, dtype=torch.float64),
        scale=np.full(11, 0.5),
    )
    none = torch.empty(1, 0, dtype=torch.float64)
    arms = tuple(
        Arm(f"dose = {d}", Known(torch.full((1, 1), d, dtype=torch.float64), none), {"dose": d})
        for d in (1.0, 3.0)
    )
    p = np.array([1.0, np.log(0.1), *np.log(np.full(9, 5.0))])
    experiment = experiment_of(problem, p, ["a"], arms)
    found = designed(experiment, Wishes((2,), (60,), wanted=("a_mean",), checked=0))
    (group,) = found.chosen.groups
    assert group.arm == 1
    assert group.systems == 60
    assert found.chosen.errors[0] < found.regular.errors[0]


def test_groups_with_places_of_their_own_are_not_worse(experiment):
    together = designed(experiment, Wishes((2,), (100,), checked=0))
    apart = designed(experiment, Wishes((2,), (100,), apart=2, checked=0))
    # Two places cannot tell six parameters, but two groups of two places can.
    assert apart.chosen.value < together.chosen.value - 0.1
    assert sum(group.systems for group in apart.chosen.groups) == 100


def test_errors_fall_with_the_root_of_the_number_of_systems(experiment):
    found = designed(experiment, Wishes((4,), (50, 200), checked=0))
    few, many = found.rows
    assert few.groups[0].places == many.groups[0].places
    np.testing.assert_allclose(few.errors, 2 * many.errors, rtol=1e-9)
    assert found.chosen is many


def test_the_finished_study_counts(experiment):
    alone = designed(experiment, Wishes((4,), (100,), checked=0))
    before = alone.chosen.told
    more = designed(
        replace(experiment, before=before, systems_before=100), Wishes((4,), (100,), checked=0)
    )
    # The same design twice halves the variances, and the best design is no worse.
    assert more.chosen.value <= alone.chosen.value - 0.5 * np.log(2) + 1e-6


@pytest.mark.parametrize("relative", [False, True])
def test_the_fewest_systems_reach_the_width(experiment, relative):
    value = 0.4 if relative else 0.1
    wishes = Wishes(
        (3, 5),
        wanted=("slope_standard_deviation",),
        width=Width(value, relative),
        costs=Costs(1.0, 1.0),
        checked=0,
    )
    found = designed(experiment, wishes)
    row, i = found.chosen, 3
    wished = value * (np.exp(LINE_TRUTH[i]) if relative else 1.0)

    def width(systems: float) -> float:
        whole = row.told * systems / row.systems
        errors = standard_errors(whole, found.criterion.free, found.criterion.scale)
        lower, upper = intervals(experiment, errors)
        return float((upper - lower)[i])

    assert width(row.systems) <= wished < width(row.systems - 1)
    assert row.cost == min(each.cost for each in found.rows)


def test_a_budget_trades_systems_for_places(experiment):
    wishes = Wishes((3, 4, 8), budget=400.0, costs=Costs(10.0, 5.0), checked=0)
    found = designed(experiment, wishes)
    assert [row.systems for row in found.rows] == [400 // 25, 400 // 30, 400 // 50]
    assert all(row.cost <= 400 for row in found.rows)
    assert found.chosen.value == min(row.value for row in found.rows)
    with pytest.raises(ConfigError, match="one system with its observations costs 25"):
        designed(experiment, replace(wishes, budget=20.0))


def test_a_robust_design_averages_over_the_truths():
    problem = warfarin(np.geomspace(0.25, 120, 12))
    other = WARFARIN.copy()
    other[2] += 2.0
    robust = experiment_of(problem, WARFARIN, ["CL", "V", "KA"], draws=other[None])
    alone = experiment_of(problem, WARFARIN, ["CL", "V", "KA"])
    wishes = Wishes((4,), (50,), wanted=("KA_mean",), checked=0)
    averaged, own = (designed(each, wishes).chosen.groups for each in (robust, alone))
    criterion = robust.criterion(WARFARIN, "D", ("KA_mean",))
    both = Search([robust.scenario(p, criterion, 32) for p in (WARFARIN, other)])
    assert averaged != own
    assert both.value(averaged) < both.value(own)


def test_the_noise_of_a_sensor_that_is_not_chosen_is_not_determined():
    experiment = experiment_of(
        lines(DiagonalNoise(9)), [*LINE_TRUTH[:4], *np.full(9, np.log(0.3))], NAMES
    )
    found = designed(experiment, Wishes((4,), (100,), checked=0))
    seen = np.isfinite(found.chosen.errors[4:])
    assert np.flatnonzero(seen).tolist() == list(found.chosen.groups[0].places)
    # They are no part of the criterion, which every design could otherwise not reach.
    assert found.criterion.wanted.tolist() == [0, 1, 2, 3]


def test_too_few_places_leave_parameters_undetermined(experiment):
    found = designed(experiment, Wishes((1,), (100,), checked=0))
    assert np.isinf(found.chosen.errors).any()


def test_simulation_corrects_the_number_of_systems():
    problem = warfarin(np.geomspace(0.25, 120, 12))
    experiment = experiment_of(problem, WARFARIN, ["CL", "V", "KA"])
    wishes = Wishes((4,), wanted=("KA_mean",), width=Width(0.5), checked=500)
    found = designed(experiment, wishes)
    assert found.checked.errors is not None
    lower, upper = intervals(experiment, found.errors)
    # 2 systems of about 150 change the width by 1 %.
    assert (upper - lower)[2] == pytest.approx(0.5, rel=0.02)
    assert (upper - lower)[2] <= 0.5


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (Wishes((10,), (100,)), "there are 9 candidates"),
        (Wishes((0,), (100,)), "must be at least 1"),
        (Wishes((3,)), "state how many systems"),
        (Wishes((3,), (100,), wanted=("slop_mean",)), "Did you mean 'slope_mean'"),
        (Wishes((3,), (100,), criterion="E"), "criterion: got 'E', allowed: D, A, systems"),
        (Wishes((3,), (100,), criterion="systems", width=Width(0.1)), "width: is about"),
        (Wishes((3,), (100,), width=Width(-1.0)), "must be positive"),
        (Wishes((1,), wanted=("noise_length",), width=Width(0.1)), "none of these designs"),
    ],
)
def test_impossible_wishes_are_refused(experiment, wishes, told):
    with pytest.raises(ConfigError, match=told):
        designed(experiment, wishes)


def test_a_repeated_observation_is_not_chosen():
    places = np.array([0.0, 0.5, 0.5, 1.0])
    experiment = experiment_of(lines(places=places), LINE_TRUTH, NAMES)
    found = designed(experiment, Wishes((3,), (100,), checked=0))
    assert not {1, 2} <= set(found.chosen.groups[0].places)
    with pytest.raises(ConfigError, match="each choice of 4 candidates repeats"):
        designed(experiment, Wishes((4,), (100,), checked=0))


def test_a_discrepancy_of_the_simulator_is_refused():
    noise = Noise(IsotropicNoise(9), shared=SharedDiscrepancy(np.linspace(0, 1, 9)[:, None], None))
    with pytest.raises(ConfigError, match=r"plan without 'noise\.discrepancy'"):
        experiment_of(lines(noise), np.zeros(4 + len(noise.names)), NAMES)


def test_noise_without_structure_is_refused():
    noise = FullNoise(9, 0.0)
    with pytest.raises(ConfigError, match="kind 'full'"):
        experiment_of(lines(noise), np.zeros(4 + len(noise.names)), NAMES)


def test_regular_places_are_evenly_spread():
    assert regular_places(50, 10) == (2, 7, 12, 17, 22, 27, 32, 37, 42, 47)
    assert regular_places(4, 4) == (0, 1, 2, 3)
