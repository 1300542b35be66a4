"""Wrong formulas of computation trees: each fails an ordinary test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv_papers.birch import (
    candidates,
    catalogue,
    engine,
    live,
    policies,
    solve_sharing,
    theory,
    tree,
)

pytestmark = pytest.mark.slow

TESTS = ordinary_tests("test_birch")
PROBLEM = ordinary_tests("test_birch_problem")
STUDY = ordinary_tests("test_birch_study")
SOLVES = ordinary_tests("test_birch_solves")

# The module, its change, and the ordinary test that fails.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        tree,
        "distances[k] = max(",
        "distances[k] = min(",
        TESTS.test_the_check_agrees_with_the_definitions,
    ),
    (
        tree,
        "len(walked) + max(0, m - k))",
        "len(walked))",
        TESTS.test_a_point_further_along_the_main_branch_is_no_past_one,
    ),
    (
        tree,
        "max(k - m if m <= k",
        "max(k - m - 1 if m <= k",
        TESTS.test_the_check_agrees_with_the_definitions,
    ),
    (
        tree,
        "contained &= m <= k and Counter(walked) <= between",
        "contained &= m <= k",
        TESTS.test_a_point_whose_gradients_are_not_on_the_main_branch_is_found,
    ),
    (
        tree,
        "fresh &= gradient not in met and k >= reached",
        "fresh &= k >= reached",
        TESTS.test_a_sample_that_made_its_own_point_is_not_fresh,
    ),
    (
        theory,
        "1 / (2 * problem.smoothness * max(1, distance))",
        "1 / (2.4 * problem.smoothness * max(1, distance))",
        TESTS.test_step_size_and_gradients_of_the_theorem,
    ),
    (
        theory,
        "1 / (4 * problem.noise * problem.smoothness)",
        "1 / (4.5 * problem.noise * problem.smoothness)",
        TESTS.test_step_size_and_gradients_of_the_theorem,
    ),
    (
        theory,
        "4 * (distance + 1) * problem.steps",
        "4 * distance * problem.steps",
        TESTS.test_step_size_and_gradients_of_the_theorem,
    ),
    (
        theory,
        "8 * problem.noise * problem.steps",
        "9 * problem.noise * problem.steps",
        TESTS.test_step_size_and_gradients_of_the_theorem,
    ),
    (
        theory,
        "math.ceil(problem.noise)",
        "math.ceil(1.2 * problem.noise)",
        TESTS.test_step_size_and_gradients_of_the_theorem,
    ),
    (
        theory,
        "problem.noise * problem.steps / m)",
        "1.2 * problem.noise * problem.steps / m)",
        PROBLEM.test_the_least_time_is_that_of_the_best_number_of_workers,
    ),
    (
        theory,
        "for h in fastest[:m]) / m",
        "for h in fastest[:m])",
        PROBLEM.test_the_least_time_is_that_of_the_best_number_of_workers,
    ),
    (
        theory,
        "fastest = sorted(compute)",
        "fastest = list(compute)",
        PROBLEM.test_the_least_time_is_that_of_the_best_number_of_workers,
    ),
    (catalogue, 'int(s["batch"]) - 1', 'int(s["batch"])', TESTS.test_bounds_in_closed_form),
    (
        catalogue,
        'int(s["delay"]) * int(s["steps"]) - 1',
        'int(s["delay"]) * int(s["steps"]) - 2',
        TESTS.test_bounds_in_closed_form,
    ),
    (
        policies,
        "if self.total == self.batch:",
        "if self.total == self.batch + 1:",
        TESTS.test_the_largest_distance_is_the_bound_on_sixteen_workers,
    ),
    (
        engine,
        "shape = variation**-2",
        "shape = variation**-1.8",
        PROBLEM.test_times_that_vary_have_their_mean_and_variation,
    ),
    (
        engine,
        "float(self._times.gamma(shape)) / shape",
        "1.1 * float(self._times.gamma(shape)) / shape",
        PROBLEM.test_times_that_vary_have_their_mean_and_variation,
    ),
    (
        engine,
        "slowest = max((self",
        "slowest = min((self",
        TESTS.test_minibatches_take_the_slowest_worker_and_its_message,
    ),
    (
        policies,
        "self.read[sender] < self.delay:",
        "self.read[sender] <= self.delay:",
        TESTS.test_ringmaster_drops_exactly_the_late_ones,
    ),
    (
        policies,
        "            if self.local:\n",
        "            if not self.local:\n",
        TESTS.test_local_steps_are_summed_not_averaged,
    ),
    (
        theory,
        "slopes[:, 0] += 0.25",
        "slopes[:, 0] -= 0.25",
        PROBLEM.test_slopes_of_the_promise_are_those_of_exact_descent,
    ),
    (
        engine,
        "self.now = max(self.now, event)",
        "self.now = event",
        STUDY.test_a_busy_server_delays_what_comes_meanwhile,
    ),
    (
        live,
        "self.now += getattr(self.handling, kind)",
        "self.now += 0.9 * getattr(self.handling, kind)",
        STUDY.test_a_busy_server_delays_what_comes_meanwhile,
    ),
    (
        live,
        "1 - BETA_2**self.count",
        "1 - BETA_2",
        STUDY.test_adam_on_the_server_is_that_of_torch,
    ),
    (
        candidates,
        "return max(float(np.mean(curve",
        "return min(float(np.mean(curve",
        STUDY.test_all_reach_the_target_in_all_trials,
    ),
    (
        candidates,
        "if not _sure(curves) <= target:",
        "if not target:",
        STUDY.test_all_reach_the_target_in_all_trials,
    ),
    (
        candidates,
        "_SHARE * (before - max(sure.values()))",
        "_SHARE * (before - min(sure.values()))",
        STUDY.test_all_reach_the_target_in_all_trials,
    ),
    (
        candidates,
        "worth = gain >= _WORTH",
        "worth = gain >= 1",
        STUDY.test_several_machines_are_advised_only_if_they_gain_enough,
    ),
    (
        solve_sharing,
        "(counts[i] + 1) * machines.seconds[i]",
        "(counts[i] + 1) * machines.seconds[i] ** 0.9",
        SOLVES.test_the_best_split_is_in_proportion_to_speed,
    ),
    (
        solve_sharing,
        "machines.overhead + solves / sum(1 / h",
        "machines.overhead + 1.1 * solves / sum(1 / h",
        SOLVES.test_the_bound_is_that_of_the_paper_without_its_first_term,
    ),
    (
        solve_sharing,
        "shape = variation**-2",
        "shape = variation**-1.8",
        SOLVES.test_times_of_chunks_have_their_mean_and_variation,
    ),
    (
        solve_sharing,
        "first = free.argmin(axis=1)",
        "first = free.argmax(axis=1)",
        SOLVES.test_pulled_chunks_end_as_their_events_do,
    ),
    (
        solve_sharing,
        "np.take_along_axis(times.rates, times.order, axis=1)",
        "times.rates",
        SOLVES.test_pulled_chunks_end_as_their_events_do,
    ),
    (
        solve_sharing,
        "times.machines.overhead + work, 0.0).max",
        "times.machines.overhead + work, 0.0).mean",
        SOLVES.test_constant_times_have_makespans_in_closed_form,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
