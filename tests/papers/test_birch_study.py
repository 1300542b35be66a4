"""Policies on vectors: by the simulated clock, and by real processes."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError, DataError, DivergenceError
from popinv.seeds import generator
from popinv.surrogate.training import TrainingData, TrainingSettings
from popinv_papers.birch import live
from popinv_papers.birch.candidates import (
    Candidate,
    advised,
    best_rates,
    candidates,
    common_target,
    seconds_to,
)
from popinv_papers.birch.catalogue import METHODS, policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.live import Adam, Handling, LiveRun, Plain, RealRun, Speeds, Team, measured
from popinv_papers.birch.method import Birch
from popinv_papers.birch.objectives import quadratic
from popinv_papers.birch.replay import points_on_main_branch
from popinv_papers.birch.study import Learning, compare, predicted, stable, tried
from popinv_papers.birch.tree import check
from popinv_papers.birch.use import draw_training

BOWL = quadratic(5, 0.0)
SETTINGS = {
    "rennala": {"batch": 6}, "ringmaster": {"delay": 3}, "local": {"batch": 6},
    "dual_process": {"batch": 6, "most": 8}, "cycle": {"group": 2},
    "async_local": {"steps": 2, "delay": 3}, "async_batch": {"steps": 2, "delay": 3},
    "local_async": {"clusters": 2, "batch": 6},
    "nested_local_async": {"sites": 2, "servers": 2, "inner": 3, "batch": 9},
    "meta_local": {"bound": 6, "period": 0.02},
}  # fmt: skip


def exact(worker: int, count: int, x: np.ndarray) -> np.ndarray:
    """Return the quadratic's gradient without noise."""
    beyond = np.pad(x, 1)
    return 0.25 * (2 * x - beyond[:-2] - beyond[2:]) + 0.25 * (np.arange(len(x)) == 0)


def real(team: Team, name: str, message: float = 0.0) -> RealRun:
    """Return a run of a method by real processes."""
    count = len(team.seconds)
    workers = Workers(tuple(team.seconds), (message,) * count)
    way = policy(name, count, SETTINGS.get(name, {}))
    return RealRun(team, workers, way, BOWL.start, Plain(0.05), 10)


@pytest.mark.parametrize("name", METHODS)
def test_points_on_the_way_are_those_of_the_replay(name):
    workers = Workers((1.0, 1.7, 2.0, 3.1), (0.4,) * 4)
    run = LiveRun(
        workers, policy(name, 4, SETTINGS.get(name, {})), BOWL.start, exact, Plain(0.05), 10
    )
    run.until(40)
    replayed = points_on_main_branch(run.arrays(), [10, 40], [0.05], BOWL, generator(1, "x"))
    looks = [run.looks[1][1], run.looks[4][1]]
    np.testing.assert_allclose(replayed[:, 0], looks, rtol=1e-9)


def test_real_workers_grow_trees_that_keep_the_conditions():
    with Team([0.001, 0.001, 0.003, 0.004], exact, 5) as team:
        for name in SETTINGS:
            run = real(team, name, 0.001)
            run.until(24)
            conditions = check(run.tree)
            assert conditions.fresh, name
            assert conditions.contained, name
            # The points are those of the tree, whatever order the workers came in.
            replayed = points_on_main_branch(
                run.arrays(), [10, 20], [0.05], BOWL, generator(1, "x")
            )
            looks = [x for _, x in run.looks[1:3]]
            np.testing.assert_allclose(replayed[:, 0], looks, rtol=1e-9)
            assert run.tree.time == sorted(run.tree.time)
        processes = team.processes
    assert not any(process.is_alive() for process in processes)


def test_real_gradients_take_at_least_their_time_and_slow_workers_give_less():
    with Team([0.002, 0.02], exact, 5) as team:
        run = real(team, "asynchronous")
        run.until(30)
    fast, slow = run.took
    assert min(fast) >= 0.002
    assert min(slow, default=0.02) >= 0.02
    assert len(fast) > len(slow)


def test_a_worker_that_fails_is_named():
    def broken(worker, count, x):
        if worker == 1:
            raise SystemExit(1)
        return exact(worker, count, x)

    with Team([0.001, 0.001], broken, 5) as team:
        run = real(team, "minibatch")
        with pytest.raises(DataError, match="worker process 1"):
            run.until(10)


def learning(scale: float = 1.0) -> Learning:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((200, 3))
    y = scale * np.column_stack([z.sum(axis=1), np.tanh(z[:, 0])])
    settings = TrainingSettings(seed=1, stage="birch", hyperparameters={"width": 8, "depth": 1})
    return Learning.of(TrainingData(z, y), settings, 16)


def test_a_slope_is_that_of_its_minibatch_alone():
    task = learning()
    first, again, other = (task.slope(w, n, task.start) for w, n in ((0, 3), (0, 3), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    # A small step along the mean slope goes downhill.
    mean = np.mean([task.slope(0, n, task.start) for n in range(40)], axis=0)
    assert task.loss(task.start - 0.05 * mean) < task.loss(task.start)


def test_a_busy_server_delays_what_comes_meanwhile():
    # Points are sent in 0.05 each, so workers end at 1.05 and 1.1. The server receives the first
    # until 1.15, and only then the second, until 1.25. The message takes 0.4, each step 0.2.
    workers = Workers((1.0, 1.0), (0.4, 0.4))
    run = LiveRun(
        workers, policy("minibatch", 2, {}), BOWL.start, exact, Plain(0.05), 1,
        handling=Handling(receive=0.1, step=0.2, send=0.05),
    )  # fmt: skip
    run.until(3)
    first = 1.25 + 0.4 + 0.2
    np.testing.assert_allclose([t for t, _ in run.looks[1:3]], [first, first + 0.2])
    # The second round begins with the last step, as the first one did at 0.
    again = first + 0.2 + first
    assert run.looks[3][0] == pytest.approx(again)


def test_without_handling_the_clock_is_that_of_the_engine():
    workers = Workers((1.0, 1.7, 2.0, 3.1), (0.4,) * 4, variation=0.5, seed=3)
    for name in ("minibatch", "ringmaster", "async_local"):
        new = [policy(name, 4, SETTINGS.get(name, {})) for _ in range(2)]
        live = LiveRun(workers, new[0], BOWL.start, exact, Plain(0.05), 1)
        plain = Run(workers, new[1])
        live.until(40)
        plain.until(40)
        assert [t for t, _ in live.looks] == plain.tree.time


def test_adam_on_the_server_is_that_of_torch():
    steps, x = Adam(0.1), np.linspace(-1, 2, 5)
    weights = torch.nn.Parameter(torch.from_numpy(x.copy()))
    optimiser = torch.optim.Adam([weights], lr=0.1)
    for _ in range(20):
        gradient = exact(0, 0, x)
        x = steps.onward(x, gradient)
        weights.grad = torch.from_numpy(gradient)
        optimiser.step()
        np.testing.assert_allclose(x, weights.detach().numpy(), rtol=1e-9)
    with pytest.raises(ConfigError, match="without local steps"):
        steps.aside(x, x)


def test_runs_of_other_numbers_draw_other_minibatches():
    task = learning()
    workers = Workers((1.0, 2.0), (0.1, 0.1))
    ends = []
    for first in (0, 0, 1000):
        run = LiveRun(
            workers, policy("minibatch", 2, {}), task.start, task.slope, Plain(0.05), 10, first
        )
        run.until(10)
        ends.append(run.looks[-1][1])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.allclose(ends[0], ends[2])


def test_several_points_have_the_slopes_of_each():
    task = learning()
    points = np.stack([task.start * scale for scale in (0.5, 1.0, 2.0)])
    each = np.stack([task.slope(1, 4, point) for point in points])
    np.testing.assert_allclose(task.slopes(1, 4, points), each, rtol=1e-4, atol=1e-6)


def test_step_sizes_that_are_tried_together_have_the_curves_of_each():
    task, way = learning(), candidates(2)[-1]
    speeds = Speeds(Workers((1.0, 2.0), (0.1, 0.1), 0.3), Handling(0.01, 0.02, 0.03))
    curves = tried(task, speeds, 30, way, 1)
    rate = way.rates[2]
    one = predicted(task, speeds, 30, way, rate, 1, -np.inf)
    assert list(curves) == list(way.rates)
    np.testing.assert_allclose(curves[rate], one, rtol=1e-3)
    # Gradient by gradient, a prediction ends at the target.
    target = one[5:12, 1].min()
    short = predicted(task, speeds, 30, way, rate, 1, target)
    np.testing.assert_array_equal(short, one[: len(short)])
    assert short[-1, 1] <= target < short[:-1, 1].min()


def test_a_step_size_is_halved_until_it_reaches_the_target_on_all_draws():
    def foresee(rate: float, draw: int, target: float) -> np.ndarray:
        # The draw 5 is asked beside the two runs of draws 2 and 3.
        return curve(1.0, 0.9 if rate > 0.1 and draw == 5 else 0.4)

    rate, curves = stable(foresee, 0.4, 0.5, 2)
    assert (rate, len(curves)) == (0.1, 2)
    assert stable(foresee, 0.1, 0.5, 2)[0] == 0.1
    # No halved step size reaches it either.
    assert stable(foresee, 0.4, 0.3, 2)[0] == 0.4


def curve(*losses: float) -> np.ndarray:
    """Return a curve of a look per second."""
    return np.array(list(enumerate(losses)), dtype=float)


def test_all_reach_the_target_in_all_trials():
    trials = {
        "able": {0.1: [curve(1, 0.2, 0.0), curve(1, 0.1, 0.1)], 0.2: [curve(1, 0.5, 0.3)] * 2},
        # The large step size passes 0.1 in both runs, but one of them does not stay.
        "weak": {0.1: [curve(1, 0.8, 0.5)] * 2, 0.2: [curve(1, 0.4, 0.1), curve(1, 0.1, np.inf)]},
    }
    target = common_target(1.0, trials)
    assert target == pytest.approx(1 - 0.9 * 0.5)
    rates = best_rates(target, trials)
    assert rates == {"able": 0.1, "weak": 0.1}
    for name, rate in rates.items():
        assert all(seconds_to(target, one) < np.inf for one in trials[name][rate])
    # It would have been the faster one.
    assert max(seconds_to(target, one) for one in trials["weak"][0.2]) == 1
    assert seconds_to(0.05, trials["weak"][0.2][0]) == np.inf
    # The faster of two that reach it, by the mean over draws.
    faster = {"one": {0.1: [curve(1, 0.8, 0.4)] * 2, 0.2: [curve(1, 0.4, 0.4)] * 2}}
    assert best_rates(0.5, faster) == {"one": 0.2}


def test_a_candidate_that_learns_nothing_is_refused():
    with pytest.raises(DivergenceError, match=r"weak: none of the step sizes from 0\.1 to 0\.2"):
        common_target(1.0, {"weak": {0.1: [curve(1, 1)], 0.2: [curve(1, np.inf)]}})


WAYS = (
    Candidate("adam_alone", "vanilla", "adam"),
    Candidate("sgd_alone", "vanilla", "sgd"),
    Candidate("minibatch", "minibatch", "sgd"),
)


def test_several_machines_are_advised_only_if_they_gain_enough():
    def advice(several: float) -> dict:
        predicted = {"adam_alone": 20.0, "sgd_alone": 10.0, "minibatch": several}
        times = {name: np.full(3, time) for name, time in predicted.items()}
        return advised(WAYS, times, {name: 1.1 * time for name, time in times.items()})

    found = advice(10 / 1.16)
    assert (found["advice"], found["several_machines"]) == ("minibatch", True)
    assert found["predicted_gain_over_one_worker"] == pytest.approx(1.16)
    assert found["minibatch_predicted_speed_up"] == pytest.approx(2 * 1.16)
    found = advice(10 / 1.14)
    assert (found["advice"], found["several_machines"]) == ("sgd_alone", False)
    assert found["largest_error_of_seconds"] == pytest.approx(0.1)
    assert found["largest_error_of_speed_up"] == pytest.approx(0)
    assert found["advice_measured_over_fastest"] == pytest.approx(1.14)


def test_the_advice_is_given_before_the_runs_and_judged_by_them():
    predicted = {"adam_alone": 20.0, "sgd_alone": 10.0, "minibatch": 5.0}
    measured = {
        "adam_alone": np.array([20.0, 22.0]),
        "sgd_alone": np.array([4.0, 6.0]),
        "minibatch": np.array([6.0, np.nan]),
    }
    found = advised(WAYS, {n: np.full(2, t) for n, t in predicted.items()}, measured)
    assert found["advice"] == "minibatch"
    assert found["fastest_measured"] == "sgd_alone"
    assert found["advice_measured_over_fastest"] == pytest.approx(6 / 5)
    assert found["minibatch_missed"] == 1
    assert found["sgd_alone_measured_over_predicted"] == pytest.approx(0.5)
    assert found["sgd_alone_measured_over_predicted_least"] == pytest.approx(0.4)
    assert found["minibatch_measured_speed_up"] == pytest.approx(21 / 6)
    assert found["largest_error_of_seconds"] == pytest.approx(0.5)


@pytest.mark.full
def test_a_study_is_told_how_to_train():
    asked = Birch(seconds=[0.002, 0.006], message=0.001, gradients=60, repeats=2)
    result, metrics = compare(learning(), asked)
    assert result["loss"].dims == ("candidate", "clock", "repeat", "look")
    assert metrics["target_loss"] < metrics["initial_loss"]
    names = [way.name for way in candidates(2)]
    assert metrics["advice"] in names
    for name in names:
        assert metrics[f"{name}_conditions_hold"]
        for clock in ("predicted", "measured"):
            runs = result.sel(candidate=name, clock=clock)
            times = [
                seconds_to(metrics["target_loss"], np.column_stack([time, loss]))
                for time, loss in zip(runs["time"].values, runs["loss"].values, strict=True)
            ]
            met = [time for time in times if time < np.inf]
            assert metrics[f"{name}_{clock}_seconds"] == pytest.approx(np.mean(met))
    assert metrics["adam_alone_predicted_speed_up"] == metrics["adam_alone_measured_speed_up"] == 1
    # A single worker's points do not depend on the clock.
    alone = result["loss"].sel(candidate=["adam_alone", "sgd_alone"])
    real, simulated = alone.sel(clock="measured"), alone.sel(clock="predicted")
    both = (real.notnull() & simulated.notnull()).values
    assert both.sum(axis=-1).min() > 1
    np.testing.assert_array_equal(real.values[both], simulated.values[both])
    assert len(drawn(draw_training(result)).axes) == 2


@pytest.mark.parametrize("most", [8, 1])
def test_a_worker_that_begins_late_is_timed_later_or_told(most, monkeypatch):
    task, before = learning(), []

    def held_up(worker, number, weights):
        if worker == 1 and not before:
            time.sleep(0.5)
        before.append(number)
        return task.slope(worker, number, weights)

    monkeypatch.setattr(live, "_MOST_TIMINGS", most)
    with Team([0.001, 0.001], held_up, len(task.start)) as team:
        if most == 1:
            with pytest.raises(DataError, match=r"a worker computed 0 gradients .* 'seconds'"):
                measured(team, task.start, 0.0)
            return
        found = measured(team, task.start, 0.0).workers
    assert all(0.001 <= seconds < 0.5 for seconds in found.compute)


@pytest.mark.full
def test_a_training_that_no_step_size_improves_is_refused(monkeypatch):
    learnt = learning()
    monkeypatch.setattr(Learning, "loss", lambda self, weights: 1.0)
    with pytest.raises(DivergenceError, match="none of the step sizes"):
        compare(learnt, Birch(seconds=[0.001, 0.001], message=0.0, gradients=20))
