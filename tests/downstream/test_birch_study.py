"""Policies on vectors: by the simulated clock, and by real processes."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.downstream.birch.catalogue import METHODS, policy
from popinv.downstream.birch.engine import Workers
from popinv.downstream.birch.figures import draw_study
from popinv.downstream.birch.live import LiveRun, RealRun, Team
from popinv.downstream.birch.objectives import quadratic
from popinv.downstream.birch.replay import points_on_main_branch
from popinv.downstream.birch.section import Birch
from popinv.downstream.birch.study import Learning, compare
from popinv.downstream.birch.tree import check
from popinv.errors import ConfigError, DataError, DivergenceError
from popinv.seeds import generator
from popinv.surrogate.training import TrainingData, TrainingSettings

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


@pytest.mark.parametrize("name", METHODS)
def test_points_on_the_way_are_those_of_the_replay(name):
    workers = Workers((1.0, 1.7, 2.0, 3.1), (0.4,) * 4)
    run = LiveRun(workers, policy(name, 4, SETTINGS.get(name, {})), BOWL.start, exact, 0.05, 10)
    run.until(40)
    replayed = points_on_main_branch(run.arrays(), [10, 40], [0.05], BOWL, generator(1, "x"))
    looks = [run.looks[1][1], run.looks[4][1]]
    np.testing.assert_allclose(replayed[:, 0], looks, rtol=1e-9)


def test_real_workers_grow_trees_that_keep_the_conditions():
    with Team([0.001, 0.001, 0.003, 0.004], exact) as team:
        for name, settings in SETTINGS.items():
            run = RealRun(team, 0.001, policy(name, 4, settings), BOWL.start, 0.05, 10)
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
    with Team([0.002, 0.02], exact) as team:
        run = RealRun(team, 0.0, policy("asynchronous", 2, {}), BOWL.start, 0.05, 10)
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

    with Team([0.001, 0.001], broken) as team:
        run = RealRun(team, 0.0, policy("minibatch", 2, {}), BOWL.start, 0.05, 10)
        with pytest.raises(DataError, match="worker process 1"):
            run.until(10)


def test_no_worker_takes_no_time():
    with pytest.raises(ConfigError, match="positive"):
        Team([0.001, 0.0], exact)


def learning(scale: float = 1.0) -> Learning:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((200, 3))
    y = scale * np.column_stack([z.sum(axis=1), np.tanh(z[:, 0])])
    settings = TrainingSettings(
        seed=1, stage="birch", hyperparameters={"kind": "mlp", "width": 8, "depth": 1}
    )
    return Learning.of(TrainingData(z, y), settings, 16)


def test_a_slope_is_that_of_its_minibatch_alone():
    task = learning()
    first, again, other = (task.slope(w, n, task.start) for w, n in ((0, 3), (0, 3), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    # A small step along the mean slope goes downhill.
    mean = np.mean([task.slope(0, n, task.start) for n in range(40)], axis=0)
    assert task.loss(task.start - 0.05 * mean) < task.loss(task.start)


def test_three_policies_train_by_real_and_by_simulated_workers():
    asked = Birch(seconds=[0.001, 0.004], message=0.001, gradients=60)
    result, metrics = compare(learning(), asked)
    assert result["loss"].dims == ("policy", "clock", "look")
    assert metrics["target_loss"] < metrics["initial_loss"]
    for name in ("minibatch", "ringmaster", "async_local"):
        assert metrics[f"{name}_conditions_hold"]
        for clock in ("real", "simulated"):
            curve = result.sel(policy=name, clock=clock)
            met = curve["loss"].values <= metrics["target_loss"]
            first = float(curve["time"].values[np.flatnonzero(met)[0]])
            assert metrics[f"{name}_{clock}_seconds"] == first > 0
    assert metrics["fastest_real"] in result["policy"].values
    assert len(draw_study(result).axes) == 3


def test_a_training_that_no_step_size_improves_is_refused(monkeypatch):
    learnt = learning()
    monkeypatch.setattr(Learning, "loss", lambda self, weights: 1.0)
    with pytest.raises(DivergenceError, match="none of the step sizes"):
        compare(learnt, Birch(seconds=[0.001, 0.001], message=0.0, gradients=20))
