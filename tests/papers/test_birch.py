"""Computation trees: conditions, distances, policies, points, theory."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from popinv.errors import ConfigError
from popinv.seeds import generator
from popinv_papers.birch import regimes, theory
from popinv_papers.birch.catalogue import METHODS, distance_bound, policy
from popinv_papers.birch.engine import Policy, Run, Workers
from popinv_papers.birch.objectives import draw, logistic, quadratic, slope, values
from popinv_papers.birch.policies import Delayed, MetaLocal, NestedLocalAsync
from popinv_papers.birch.regime_names import REGIMES, SWEPT
from popinv_papers.birch.regimes import Task, fastest, settings_of, settled, workers_of
from popinv_papers.birch.replay import points_on_main_branch
from popinv_papers.birch.tree import Tree, check

SPEEDS = (1.0, 2.0, 5.0, 10.0)
SETTINGS = {
    "rennala": {"batch": 10}, "ringmaster": {"delay": 6}, "local": {"batch": 10},
    "dual_process": {"batch": 8, "most": 14}, "cycle": {"group": 4},
    "async_local": {"steps": 3, "delay": 4}, "async_batch": {"steps": 3, "delay": 4},
    "local_async": {"clusters": 2, "batch": 12},
    "nested_local_async": {"sites": 2, "servers": 2, "inner": 5, "batch": 12},
    "meta_local": {"bound": 12, "period": 4.0},
}  # fmt: skip


def recorded(name: str, applied: int = 150, message: float = 1.5) -> Run:
    run = Run(Workers(SPEEDS * 2, (message,) * 8), policy(name, 8, SETTINGS.get(name, {})))
    run.until(applied)
    return run


# --- the checker ---------------------------------------------------------------------------------


def ancestry(tree: Tree, node: int) -> list[int]:
    """Return the nodes from a node to the root, both included."""
    path = []
    while node >= 0:
        path.append(node)
        node = tree.base[node]
    return path


def representation(tree: Tree, node: int) -> Counter[int]:
    """Return repr(y): the count of each gradient on the path from the root to a node."""
    return Counter(tree.gradient[y] for y in ancestry(tree, node)[:-1])


def distance(tree: Tree, y: int, z: int) -> int:
    """Return dist(y, z): the larger number of edges to the nearest common ancestor."""
    above = {node: edges for edges, node in enumerate(ancestry(tree, y))}
    return next(
        max(edges, above[node]) for edges, node in enumerate(ancestry(tree, z)) if node in above
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_check_agrees_with_the_definitions(name):
    tree = recorded(name).tree
    conditions = check(tree)
    seen: set[int] = set()
    for k, (x, after) in enumerate(zip(tree.main, tree.main[1:], strict=False)):
        g = tree.gradient[after]
        z = tree.point[g]
        assert conditions.distances[k] == distance(tree, x, z)
        assert representation(tree, z) <= representation(tree, x)
        seen |= set(representation(tree, z)) | set(representation(tree, x))
        assert g not in seen
    assert conditions.fresh
    assert conditions.contained


def test_a_gradient_used_twice_is_not_fresh():
    tree = Tree()
    g = tree.take(0)
    tree.append(g, 1.0)
    tree.append(g, 2.0)
    assert not check(tree).fresh


def test_a_sample_that_made_its_own_point_is_not_fresh():
    tree = Tree()
    g = tree.take(0)
    side = tree.step(0, g)
    # As if the same sample were drawn again at the point it led to.
    tree.point[g] = side
    tree.append(g, 1.0)
    assert not check(tree).fresh


def test_a_point_whose_gradients_are_not_on_the_main_branch_is_found():
    tree = Tree()
    side = tree.step(0, tree.take(0))
    tree.append(tree.take(side), 1.0)
    conditions = check(tree)
    assert not conditions.contained
    assert conditions.largest_distance == 1


def test_the_same_gradient_counts_as_often_as_it_was_used():
    tree = Tree()
    g = tree.take(0)
    tree.append(g, 1.0)
    twice = tree.step(tree.step(0, g), g)
    tree.append(tree.take(twice), 2.0)
    assert not check(tree).contained
    assert representation(tree, twice) == Counter({g: 2})


def test_a_point_further_along_the_main_branch_is_no_past_one():
    tree = Tree()
    first, second = tree.take(0), tree.take(0)
    tree.append(first, 1.0)
    tree.append(second, 2.0)
    tree.point[first] = tree.main[2]
    conditions = check(tree)
    assert not conditions.contained
    assert not conditions.fresh
    assert conditions.distances[0] == distance(tree, 0, tree.main[2]) == 2


# --- distances -----------------------------------------------------------------------------------


# Methods, their settings, and their largest distance in closed form.
ON_SIXTEEN = [
    ("vanilla", {}, 0), ("minibatch", {}, 15), ("asynchronous", {}, None),
    ("rennala", {"batch": 8}, 7), ("rennala", {"batch": 40}, 39),
    ("ringmaster", {"delay": 4}, 3), ("ringmaster", {"delay": 16}, 15),
    ("local", {"batch": 40}, 39), ("local", {"batch": 100}, 99),
    ("dual_process", {"batch": 40, "most": 60}, 59),
    ("cycle", {"group": 1}, 255), ("cycle", {"group": 4}, 63), ("cycle", {"group": 16}, 15),
    ("async_local", {"steps": 5, "delay": 4}, 19), ("async_local", {"steps": 3, "delay": 16}, 47),
    ("async_batch", {"steps": 5, "delay": 4}, 19), ("async_batch", {"steps": 3, "delay": 16}, 47),
    ("local_async", {"clusters": 2, "batch": 40}, 39),
    ("local_async", {"clusters": 4, "batch": 64}, 63),
    ("nested_local_async", {"sites": 2, "servers": 4, "inner": 10, "batch": 64}, 63),
    ("meta_local", {"bound": 50, "period": 12.0}, 50),
]  # fmt: skip


@pytest.mark.full
def test_the_largest_distance_is_the_bound_on_sixteen_workers():
    workers = Workers(SPEEDS * 4, (7.0,) * 16)
    for name, settings, largest in ON_SIXTEEN:
        run = Run(workers, policy(name, 16, settings))
        run.until(4000)
        conditions = check(run.tree)
        assert conditions.fresh, name
        assert conditions.contained, name
        if largest is not None:
            assert conditions.largest_distance == largest, (name, settings)


@pytest.mark.parametrize(("name", "settings", "largest"), ON_SIXTEEN)
def test_bounds_in_closed_form(name, settings, largest):
    assert distance_bound(name, 16, settings) == largest


@pytest.mark.parametrize("message", [0.0, 3.7, 40.0])
@pytest.mark.parametrize("name", METHODS)
def test_conditions_hold_whatever_messages_take(name, message):
    conditions = check(recorded(name, 200, message).tree)
    bound = distance_bound(name, 8, SETTINGS.get(name, {}))
    assert conditions.fresh
    assert conditions.contained
    assert bound is None or conditions.largest_distance <= bound


# --- the clock -----------------------------------------------------------------------------------


def test_minibatches_take_the_slowest_worker_and_its_message():
    run = Run(Workers((1.0, 4.0), (2.0, 0.5)), policy("minibatch", 2, {}))
    run.until(6)
    # Each round waits 4 for the slower gradient and 2 for the slower message.
    assert run.tree.time[1:] == [6.0, 6.0, 12.0, 12.0, 18.0, 18.0]
    assert run.messages == 6
    assert run.most_in_flight == 2


def test_asynchronous_workers_come_at_their_own_pace():
    run = Run(Workers((1.0, 2.5), (0.0, 1.0)), policy("asynchronous", 2, {}))
    run.until(8)
    assert run.tree.time[1:] == [1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0]


def test_rennala_drops_what_was_begun_in_an_earlier_round():
    run = Run(Workers((1.0, 10.0), (0.0, 0.0)), policy("rennala", 2, {"batch": 4}))
    run.until(12)
    # Two rounds of the fast worker alone; the slow one's first gradient comes in the third.
    assert run.tree.time[4] == 4.0
    assert run.tree.time[8] == 8.0
    assert run.dropped == 1
    assert run.computed == 13


def test_ringmaster_drops_exactly_the_late_ones():
    run = Run(Workers((1.0, 3.5), (0.0, 0.0)), policy("ringmaster", 2, {"delay": 3}))
    run.until(9)
    assert run.dropped == 2
    assert all(distance <= 2 for distance in check(run.tree).distances)


def test_local_steps_are_summed_not_averaged():
    run = Run(Workers((1.0, 1.0), (0.0, 0.0)), policy("local", 2, {"batch": 4}))
    run.until(4)
    bowl = quadratic(2, 0.0)
    rate, x0 = 0.1, bowl.start
    # Without noise both workers walk the same two steps, and their four gradients are summed.
    g = slope_at(bowl, x0)
    h = slope_at(bowl, x0 - rate * g)
    (points,) = points_on_main_branch(run.arrays(), [4], [rate], bowl, generator(1, "x"))
    np.testing.assert_allclose(points[0], x0 - rate * 2 * (g + h))


def test_cycle_keeps_few_messages_under_way():
    run = recorded("cycle", 400)
    assert run.most_in_flight == 4
    assert recorded("minibatch").most_in_flight == 8


def test_dual_process_computes_while_its_first_sum_is_under_way():
    workers = Workers((1.0,) * 4, (5.0,) * 4)
    run = Run(workers, policy("dual_process", 4, {"batch": 16, "most": 40}))
    run.until(1)
    # Two steps to the half, five during its sum, the last of which come too late, then the
    # second sum.
    assert run.now == 2 + 5 + 5
    assert run.applied == 4 * 6
    assert run.dropped == 4


def test_dual_process_pauses_at_the_most_it_may_hold():
    conditions = check(recorded("dual_process", 300, 50.0).tree)
    assert conditions.largest_distance == SETTINGS["dual_process"]["most"] - 1


def test_slow_workers_do_not_keep_the_fast_ones_of_dual_process_idle():
    # Seven workers never finish. The eighth takes a gradient in each unit of time.
    workers = Workers((1.0, *(1e6,) * 7), (0.0,) * 8)
    run = Run(workers, policy("dual_process", 8, {"batch": 4, "most": 8}))
    run.until(40)
    assert run.now == 40
    assert check(run.tree).largest_distance < 8


def test_nested_clusters_synchronise_inside_before_outside():
    workers = Workers((1.0,) * 4, (10.0,) * 4)
    run = Run(workers, NestedLocalAsync([1, 2], [100, 8], near=0.0))
    run.until(1)
    tree = run.tree
    # Inner synchronisations take up side branches of 8 gradients at a time.
    depths = [len(representation(tree, z)) for z in tree.point]
    assert max(depths) > 8
    assert run.applied == 100
    # The outer one takes a message of 10; gradients under way when the inner ones are done are
    # lost, without which it would have begun at 25.
    assert run.now > 35
    assert run.dropped > 0


def test_a_rule_says_when_workers_synchronise():
    workers = Workers((1.0, 4.0), (0.0, 0.0))
    run = Run(workers, MetaLocal(100, 4.0))
    run.until(20)
    # In each period of 4 five gradients come: four of one worker, one of the other.
    assert Counter(run.tree.time[1:]) == {4.0: 5, 8.0: 5, 12.0: 5, 16.0: 5}


def test_a_policy_that_drops_everything_ends():
    class Wasteful(Policy):
        def begin(self, run):
            run.compute(0, run.x)

        def computed(self, run, worker, gradient):
            run.drop()
            run.compute(worker, run.x)

    run = Run(Workers((1.0,), (0.0,)), Wasteful())
    run.until(5)
    assert run.applied == 0
    assert run.computed == run.dropped == 600


def test_a_run_goes_on_where_it_stopped():
    whole, parts = recorded("async_local"), recorded("async_local", 40)
    parts.until(90, time=20.0)
    parts.until(150)
    assert whole.tree.base == parts.tree.base
    assert whole.tree.time == parts.tree.time


# --- points --------------------------------------------------------------------------------------


def slope_at(objective, x, sample=0):
    out = np.empty_like(x)
    slope(
        objective.kind, x, objective.images, objective.labels, sample, np.zeros_like(x), out
    )  # fmt: skip
    return out


def reference(tree: Tree, objective, rate: float) -> np.ndarray:
    """All nodes kept, one step size, samples drawn as gradients are first used."""
    rng, taken, nodes = generator(5, "points"), {}, [objective.start]
    noise = np.zeros_like(objective.start)
    for base, g in zip(tree.base[1:], tree.gradient[1:], strict=True):
        if g not in taken:
            sample = draw(rng, objective.kind, objective.deviation, len(objective.images), noise)
            out = np.empty_like(noise)
            slope(
                objective.kind, nodes[tree.point[g]], objective.images, objective.labels, sample,
                noise, out,
            )  # fmt: skip
            taken[g] = out
        nodes.append(nodes[base] - rate * taken[g])
    return np.array([nodes[node] for node in tree.main])


def digits(count: int = 30):
    rng = np.random.default_rng(3)
    return logistic(rng.random((count, 4)), rng.integers(10, size=count))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("objective", [quadratic(6, 0.3), digits()], ids=["quadratic", "logistic"])
def test_points_are_those_of_the_definition(name, objective):
    run = recorded(name)
    rates, looks = [0.05, 0.02], np.array([0, 1, 7, 100, 150])
    points = points_on_main_branch(run.arrays(), looks, rates, objective, generator(5, "points"))
    for s, rate in enumerate(rates):
        np.testing.assert_allclose(
            points[:, s], reference(run.tree, objective, rate)[looks], rtol=1e-9, atol=1e-12
        )


def test_a_step_size_too_large_is_no_number_and_leaves_the_others_alone():
    arrays, bowl = recorded("ringmaster").arrays(), quadratic(6, 0.1)
    both = points_on_main_branch(arrays, [150], [50.0, 0.05], bowl, generator(5, "points"))
    alone = points_on_main_branch(arrays, [150], [0.05], bowl, generator(5, "points"))
    assert np.isnan(both[0, 0]).all()
    np.testing.assert_array_equal(both[0, 1], alone[0, 0])


@pytest.mark.parametrize("looks", [[], [3, 2], [0, 151], [-1]])
def test_looks_must_lie_on_the_main_branch(looks):
    arrays = recorded("vanilla").arrays()
    with pytest.raises(ValueError, match="looks"):
        points_on_main_branch(arrays, looks, [0.1], quadratic(3, 0.0), generator(1, "x"))


@pytest.mark.parametrize("objective", [quadratic(7, 0.0), digits()], ids=["quadratic", "logistic"])
def test_slopes_are_those_of_the_values(objective):
    rng = np.random.default_rng(1)
    x = objective.start + 0.1 * rng.standard_normal(len(objective.start))
    samples = range(max(1, len(objective.images)))
    mean = np.mean([slope_at(objective, x, i) for i in samples], axis=0)
    h = 1e-6 * np.eye(len(x))
    numeric = (values(objective, x + h) - values(objective, x - h)) / 2e-6
    np.testing.assert_allclose(mean, numeric, rtol=1e-5, atol=1e-7)


def test_the_quadratic_is_the_tridiagonal_one():
    bowl = quadratic(5, 0.0)
    a = 0.25 * (2 * np.eye(5) - np.eye(5, k=1) - np.eye(5, k=-1))
    b = np.array([-0.25, 0, 0, 0, 0])
    x = np.arange(5.0)
    assert values(bowl, x[None])[0] == pytest.approx(0.5 * x @ a @ x - b @ x)
    assert bowl.lowest == pytest.approx(-0.5 * b @ np.linalg.solve(a, b))
    assert bowl.smoothness == pytest.approx(np.linalg.eigvalsh(a)[-1])
    np.testing.assert_allclose(bowl.start, [np.sqrt(5), 0, 0, 0, 0])


# --- the search ----------------------------------------------------------------------------------


def test_the_search_finds_the_setting_that_is_there_first(monkeypatch):
    bowl = quadratic(10, 0.3)
    task = Task("small", bowl, 0.05 * bowl.gap, Task.octaves(1.0, 8), 4000)
    workers = Workers((1.0, 10.0) * 4, (0.0,) * 8)
    settings = [{"delay": 1}, {"delay": 16}]

    def found(tried):
        monkeypatch.setattr(regimes, "settings_of", lambda name, workers: tried)
        return fastest("ringmaster", workers, task, 1)

    both, each = found(settings), [found([setting]) for setting in settings]
    assert both.time == min(one.time for one in each) < math.inf
    assert both.settings == settings[int(np.argmin([one.time for one in each]))]
    # It is there at that time, with that step size.
    point = points_on_main_branch(
        both.run.arrays(), [both.applied], [both.rate], bowl, generator(1, "birch/small")
    )[0]
    assert values(bowl, point)[0] - bowl.lowest <= task.target
    assert both.run.tree.time[both.applied] == both.time


def test_points_within_a_sum_are_not_looked_at():
    run = Run(Workers((1.0,) * 4, (0.0,) * 4), policy("minibatch", 4, {}))
    run.until(12)
    np.testing.assert_array_equal(settled(run, np.array([0, 1, 4, 5.2, 11])), [0, 4, 8, 12])


def test_a_target_out_of_reach_is_said_to_be():
    bowl = quadratic(10, 1.0)
    task = Task("far", bowl, 1e-9, (1.0, 0.5), 200)
    reached = fastest("vanilla", workers_of("classical", 4), task, 1)
    assert reached.time == math.inf
    assert reached.run is None


@pytest.mark.full
@pytest.mark.parametrize("count", [16, 64, 256])
@pytest.mark.parametrize("regime", [*REGIMES, *SWEPT])
def test_all_settings_of_the_grid_can_be_run(regime, count):
    workers = workers_of(regime, count)
    for name in METHODS:
        for settings in settings_of(name, workers):
            run = Run(workers, policy(name, count, settings))
            run.until(30)
            assert run.applied >= 30


# --- theory --------------------------------------------------------------------------------------


def test_step_size_and_gradients_of_the_theorem():
    problem = theory.ProblemConstants(smoothness=2.0, gap=3.0, variance=5.0, accuracy=0.5)
    assert theory.step_size(problem, 0) == pytest.approx(min(1 / 4, 0.5 / (4 * 5 * 2)))
    assert theory.step_size(problem, 100) == pytest.approx(1 / (2 * 100 * 2))
    assert theory.gradients(problem, 9) == pytest.approx(4 * 10 * 12 + 8 * 5 * 6 / 0.25)
    assert theory.batch(problem) == 10


def test_without_noise_one_gradient_at_a_point_is_enough():
    problem = theory.ProblemConstants(1.0, 1.0, 0.0, 0.1)
    assert theory.batch(problem) == 1
    assert theory.step_size(problem, 0) == 0.5


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("rennalla", {}, "rennala"),
        ("rennala", {}, "must be"),
        ("rennala", {"batch": 0}, "at least 1"),
        ("cycle", {"group": 3}, "allowed: 1, 2, 4, 8"),
        ("dual_process", {"batch": 8, "most": 7}, "at least the batch"),
        ("local_async", {"clusters": 3, "batch": 9}, "cannot be divided"),
        ("nested_local_async", {"sites": 2, "servers": 2, "inner": 9, "batch": 8}, "not grow"),
        ("meta_local", {"bound": -1, "period": 1.0}, "negative"),
        ("async_local", {"steps": 0, "delay": 1}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        Run(Workers(SPEEDS * 2, (0.0,) * 8), policy(name, 8, settings)).until(1)


def test_regimes_are_known_by_name():
    with pytest.raises(ConfigError, match="classical"):
        workers_of("clasical", 4)


def test_plain_asynchronous_descent_never_drops():
    assert Delayed(None).delay == math.inf
    assert recorded("asynchronous").dropped == 0


# --- bounds with message times -------------------------------------------------------------------


def times_of(name: str, settings: dict[str, float], compute, message) -> list[float]:
    run = Run(Workers(compute, message), policy(name, len(compute), settings))
    run.until(300)
    return run.tree.time


def test_ringmaster_with_messages_is_ringmaster_with_longer_gradients():
    # No two messages arrive at once.
    messages = (0.5131, 3.0173, 0.2587, 1.0319)
    longer = tuple(h + tau for h, tau in zip(SPEEDS, messages, strict=True))
    found, same, other = (
        times_of("ringmaster", {"delay": 6}, *of)
        for of in ((SPEEDS, messages), (longer, (0.0,) * 4), (SPEEDS, (0.0,) * 4))
    )
    np.testing.assert_allclose(found, same)
    assert found[-1] > other[-1]


@pytest.mark.parametrize("name", ["rennala", "local"])
def test_rounds_with_messages_take_one_of_the_slowest_each_at_most(name):
    batch, messages = 10, (0.5, 3.0, 0.25, 1.0)
    without = times_of(name, {"batch": batch}, SPEEDS, (0.0,) * 4)
    found = times_of(name, {"batch": batch}, SPEEDS, messages)
    rounds = 300 // batch
    assert without[-1] < found[-1] <= without[-1] + rounds * max(messages)


def test_rounds_of_the_theorem_are_at_most_twelve_steps():
    # With R + 1 = B = max(ceil(sigma^2/eps), 1).
    for noise in (0.0, 0.4, 1.0, 7.3, 64.0):
        problem = theory.ProblemConstants(1.0, 4.0, noise, 1.0)
        batch = theory.batch(problem)
        assert theory.gradients(problem, batch - 1) / batch <= 12 * problem.steps
