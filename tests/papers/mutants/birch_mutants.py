"""Wrong formulas of computation trees: each fails an ordinary test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

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

TESTS = ordinary_tests("test_birch")
PROBLEM = ordinary_tests("test_birch_problem")
STUDY = ordinary_tests("test_birch_study")
SOLVES = ordinary_tests("test_birch_solves")

MUTANTS: Table = {
    (tree, TESTS.test_the_check_agrees_with_the_definitions): [
        ("distances[k] = max(", "distances[k] = min("),
        ("max(k - m if m <= k", "max(k - m - 1 if m <= k"),
    ],
    (tree, TESTS.test_a_point_further_along_the_main_branch_is_no_past_one): [
        ("len(walked) + max(0, m - k))", "len(walked))"),
    ],
    (tree, TESTS.test_a_point_whose_gradients_are_not_on_the_main_branch_is_found): [
        ("contained &= m <= k and Counter(walked) <= between", "contained &= m <= k"),
    ],
    (tree, TESTS.test_a_sample_that_made_its_own_point_is_not_fresh): [
        ("fresh &= gradient not in met and k >= reached", "fresh &= k >= reached"),
    ],
    (theory, TESTS.test_step_size_and_gradients_of_the_theorem): [
        (
            "1 / (2 * problem.smoothness * max(1, distance))",
            "1 / (2.4 * problem.smoothness * max(1, distance))",
        ),
        (
            "1 / (4 * problem.noise * problem.smoothness)",
            "1 / (4.5 * problem.noise * problem.smoothness)",
        ),
        ("4 * (distance + 1) * problem.steps", "4 * distance * problem.steps"),
        ("8 * problem.noise * problem.steps", "9 * problem.noise * problem.steps"),
        ("math.ceil(problem.noise)", "math.ceil(1.2 * problem.noise)"),
    ],
    (theory, PROBLEM.test_the_least_time_is_that_of_the_best_number_of_workers): [
        ("problem.noise * problem.steps / m)", "1.2 * problem.noise * problem.steps / m)"),
        ("for h in fastest[:m]) / m", "for h in fastest[:m])"),
        ("fastest = sorted(compute)", "fastest = list(compute)"),
    ],
    (theory, PROBLEM.test_slopes_of_the_promise_are_those_of_exact_descent): [
        ("slopes[:, 0] += 0.25", "slopes[:, 0] -= 0.25"),
    ],
    (catalogue, TESTS.test_bounds_in_closed_form): [
        ('int(s["batch"]) - 1', 'int(s["batch"])'),
        ('int(s["delay"]) * int(s["steps"]) - 1', 'int(s["delay"]) * int(s["steps"]) - 2'),
    ],
    (policies, TESTS.test_the_largest_distance_is_the_bound_on_sixteen_workers): [
        ("if self.total == self.batch:", "if self.total == self.batch + 1:"),
    ],
    (policies, TESTS.test_ringmaster_drops_exactly_the_late_ones): [
        ("self.read[sender] < self.delay:", "self.read[sender] <= self.delay:"),
    ],
    (policies, TESTS.test_local_steps_are_summed_not_averaged): [
        ("            if self.local:\n", "            if not self.local:\n"),
    ],
    (engine, PROBLEM.test_times_that_vary_have_their_mean_and_variation): [
        ("shape = variation**-2", "shape = variation**-1.8"),
        (
            "float(self._times.gamma(shape)) / shape",
            "1.1 * float(self._times.gamma(shape)) / shape",
        ),
    ],
    (engine, TESTS.test_minibatches_take_the_slowest_worker_and_its_message): [
        ("slowest = max((self", "slowest = min((self"),
    ],
    (engine, STUDY.test_a_busy_server_delays_what_comes_meanwhile): [
        ("self.now = max(self.now, event)", "self.now = event"),
    ],
    (live, STUDY.test_a_busy_server_delays_what_comes_meanwhile): [
        (
            "self.now += getattr(self.handling, kind)",
            "self.now += 0.9 * getattr(self.handling, kind)",
        ),
    ],
    (live, STUDY.test_adam_on_the_server_is_that_of_torch): [
        ("1 - BETA_2**self.count", "1 - BETA_2"),
    ],
    (candidates, STUDY.test_all_reach_the_target_in_all_trials): [
        ("return max(float(np.mean(curve", "return min(float(np.mean(curve"),
        ("if not _sure(curves) <= target:", "if not target:"),
        ("_SHARE * (before - max(sure.values()))", "_SHARE * (before - min(sure.values()))"),
    ],
    (candidates, STUDY.test_several_machines_are_advised_only_if_they_gain_enough): [
        ("worth = gain >= _WORTH", "worth = gain >= 1"),
    ],
    (solve_sharing, SOLVES.test_the_best_split_is_in_proportion_to_speed): [
        ("(counts[i] + 1) * machines.seconds[i]", "(counts[i] + 1) * machines.seconds[i] ** 0.9"),
    ],
    (solve_sharing, SOLVES.test_the_bound_is_that_of_the_paper_without_its_first_term): [
        ("machines.overhead + solves / sum(1 / h", "machines.overhead + 1.1 * solves / sum(1 / h"),
    ],
    (solve_sharing, SOLVES.test_times_of_chunks_have_their_mean_and_variation): [
        ("shape = variation**-2", "shape = variation**-1.8"),
    ],
    (solve_sharing, SOLVES.test_pulled_chunks_end_as_their_events_do): [
        ("first = free.argmin(axis=1)", "first = free.argmax(axis=1)"),
        ("np.take_along_axis(times.rates, times.order, axis=1)", "times.rates"),
    ],
    (solve_sharing, SOLVES.test_constant_times_have_makespans_in_closed_form): [
        ("times.machines.overhead + work, 0.0).max", "times.machines.overhead + work, 0.0).mean"),
    ],
}
