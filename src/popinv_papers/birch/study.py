"""Whether a study's surrogate is worth training on several machines, and how.

One worker with Adam, which is what the study does, is compared with one worker and several workers
under other policies. Gradients and the server's work are measured first. The simulated clock, fed
with these times, predicts how long each way takes to a loss that all can reach; worker processes of
unequal speed then measure it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parameters_to_vector
from tqdm import tqdm

from popinv.errors import DivergenceError
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.training import TrainingData, TrainingProblem, TrainingSettings, prepare
from popinv.surrogate.training_problem import loss_of, validation_loss_of
from popinv.threads import fixed_threads
from popinv_papers.birch.candidates import (
    Candidate,
    Curve,
    advised,
    best_rates,
    candidates,
    common_target,
    seconds_to,
)
from popinv_papers.birch.engine import Workers
from popinv_papers.birch.live import LiveRun, RealRun, Speeds, Team, measured
from popinv_papers.birch.tree import check
from popinv_papers.kit.training import fill

if TYPE_CHECKING:
    from popinv_papers.birch.method import Birch

_LOOKS = 100
# Draws of the minibatches by which step sizes are chosen; the runs that count have others.
_TRIALS = 2
# Numbers of minibatches between two draws, more than a worker can take in a run.
_APART = 1_000_000
_HALVINGS = 2
# A real run takes this many times the predicted number of gradients to the target.
_LONGER = 1.5
# Gradients of each worker with a step size of zero, and the relative change by rounding.
_FEW, _ROUNDING = 3, 1e-6


@dataclass(frozen=True)
class Learning:
    """The surrogate's training as an objective of its weights, from initial ones of shape (p,)."""

    problem: TrainingProblem
    start: np.ndarray
    batch_size: int
    seed: int

    @staticmethod
    def of(data: TrainingData, settings: TrainingSettings, batch_size: int) -> Learning:
        """Return the training of a new network on some data."""
        problem = prepare(data, settings)
        weights = parameters_to_vector(problem.network.parameters()).detach()
        return Learning(problem, weights.numpy().astype(float), batch_size, settings.seed)

    def _set(self, weights: np.ndarray) -> list[torch.nn.Parameter]:
        network = self.problem.network
        dtype = next(network.parameters()).dtype
        return fill(network, torch.from_numpy(np.array(weights)).to(dtype))

    def _batch(self, worker: int, number: int) -> torch.Tensor:
        draw = generator(self.seed, f"birch/batch/{worker}", number)
        rows = len(self.problem.training[0])
        return torch.from_numpy(draw.integers(rows, size=self.batch_size))

    def slope(self, worker: int, number: int, weights: np.ndarray) -> np.ndarray:
        """Return the gradient on a worker's minibatch of that number, shape (p,)."""
        z, y, row_weights = self.problem.training
        index = self._batch(worker, number)
        parameters = self._set(weights)
        loss = loss_of(self.problem, z[index], y[index], row_weights[index])
        gradients = torch.autograd.grad(loss, parameters)
        return torch.cat([part.reshape(-1) for part in gradients]).numpy().astype(float)

    def slopes(self, worker: int, number: int, weights: np.ndarray) -> np.ndarray:
        """Return the gradients at several points on one minibatch, both of shape (m, p)."""
        z, y, row_weights = self.problem.training
        index = self._batch(worker, number)
        network = self.problem.network
        named = dict(network.named_parameters())

        def loss(vector: torch.Tensor) -> torch.Tensor:
            parts = vector.split([parameter.numel() for parameter in named.values()])
            values = {
                name: part.view_as(parameter)
                for (name, parameter), part in zip(named.items(), parts, strict=True)
            }
            called: Any = partial(functional_call, network, values)
            problem = replace(self.problem, network=called)
            return loss_of(problem, z[index], y[index], row_weights[index])

        points = torch.from_numpy(np.array(weights)).to(next(network.parameters()).dtype)
        return vmap(grad(loss))(points).numpy().astype(float)

    def loss(self, weights: np.ndarray) -> float:
        """Return the validation loss; infinite where it is not finite."""
        self._set(weights)
        value = validation_loss_of(self.problem)
        return value if np.isfinite(value) else np.inf

    def losses(self, weights: np.ndarray) -> np.ndarray:
        """Return the validation losses at several points, shape (m,)."""
        return np.array([self.loss(point) for point in weights])


def _simulated(speeds: Speeds, candidate: Candidate, draw: int, **others: Any) -> LiveRun:
    workers = replace(speeds.workers, seed=draw)
    return LiveRun(
        workers,
        candidate.policy(workers.count),
        first=draw * _APART,
        handling=speeds.handling,
        **others,
    )


def tried(
    learning: Learning, speeds: Speeds, gradients: int, candidate: Candidate, draw: int
) -> dict[float, Curve]:
    """Return simulated times and losses of all step sizes of a candidate.

    What workers do does not depend on the step size, so one run does for all.
    """
    rates = candidate.rates
    run = _simulated(
        speeds,
        candidate,
        draw,
        start=np.tile(learning.start, (len(rates), 1)),
        slope=learning.slopes,
        steps=candidate.steps(np.array(rates)[:, None]),
        every=max(1, gradients // _LOOKS),
        look=learning.losses,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        run.until(gradients)
    times = [time for time, _ in run.looks]
    losses = np.array([loss for _, loss in run.looks])
    return {rate: np.column_stack([times, losses[:, i]]) for i, rate in enumerate(rates)}


def predicted(
    learning: Learning,
    speeds: Speeds,
    gradients: int,
    candidate: Candidate,
    rate: float,
    draw: int,
    target: float,
) -> Curve:
    """Return simulated times and losses of a candidate, gradient by gradient to the target."""
    run = _simulated(
        speeds,
        candidate,
        draw,
        start=learning.start,
        slope=learning.slope,
        steps=candidate.steps(rate),
        every=1,
        look=learning.loss,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        while run.looks[-1][1] > target and run.applied < gradients:
            run.until(run.applied + 1)
    return np.array(run.looks)


def stable(
    foresee: Callable[[float, int, float], Curve], rate: float, target: float, repeats: int
) -> tuple[float, list[Curve]]:
    """Halve a step size until it is predicted to reach the target on all draws of the runs.

    An equal number of draws that are not run is predicted too, since real runs take gradients in
    another order. If no halved step size is better, the given one is kept.

    Returns
    -------
    rate : float
    curves : list of Curve
        The predictions for the draws of the runs.
    """
    first: list[Curve] = []
    for halved in (rate * 0.5**k for k in range(_HALVINGS + 1)):
        draws = range(_TRIALS, _TRIALS + 2 * repeats)
        curves = [foresee(halved, draw, target) for draw in draws]
        if all(curve[-1, 1] <= target for curve in curves):
            return halved, curves[:repeats]
        first = first or curves[:repeats]
    return rate, first


def raced(
    learning: Learning,
    team: Team,
    workers: Workers,
    most: int,
    candidate: Candidate,
    rate: float,
    draw: int,
) -> tuple[Curve, RealRun]:
    """Return measured times and losses of a candidate, and the run."""
    run = RealRun(
        team,
        workers,
        candidate.policy(workers.count),
        learning.start,
        candidate.steps(rate),
        1,
        draw * _APART,
    )
    run.until(most)
    curve = np.array([(time, learning.loss(weights)) for time, weights in run.looks])
    # Its points are not needed any more, and are large.
    run.looks.clear()
    return curve, run


def nothing_trained(learning: Learning, asked: Birch) -> Invariant:
    """Check that every way to train keeps the loss where its step size is zero."""
    count = len(asked.seconds)
    before = learning.loss(learning.start)
    workers = Workers(tuple(asked.seconds), (asked.message,) * count)
    apart = 0.0
    for way in candidates(count):
        run = LiveRun(
            workers,
            way.policy(count),
            start=learning.start,
            slope=learning.slope,
            steps=way.steps(0.0),
            every=1,
            look=learning.loss,
        )
        run.until(_FEW * count)
        apart = max(apart, *(abs(loss - before) for _, loss in run.looks))
    return held(
        "nothing_trained",
        "step size zero: largest change of the validation loss by any way to train",
        apart,
        _ROUNDING * before,
    )


def compare(learning: Learning, asked: Birch) -> tuple[xr.Dataset, dict[str, Any]]:
    """Predict and measure the time of each candidate to a common target.

    Returns
    -------
    result : Dataset
        Time and validation loss along ``candidate``, ``clock``, ``repeat`` and ``look``.
    metrics : dict

    Raises
    ------
    DivergenceError
        If no step size of those tried is stable, or a candidate missed the target in every run.
    """
    count, most = len(asked.seconds), asked.gradients
    ways, before = candidates(count), learning.loss(learning.start)
    with fixed_threads(), Team(asked.seconds, learning.slope, len(learning.start)) as team:
        speeds = measured(team, learning.start, asked.message)
        trials: dict[str, dict[float, list[Curve]]] = {}
        for way in tqdm(ways, desc="step sizes", unit="candidate", disable=None):
            found = [tried(learning, speeds, most, way, draw) for draw in range(_TRIALS)]
            trials[way.name] = {rate: [one[rate] for one in found] for rate in way.rates}
        target = common_target(before, trials)
        rates = best_rates(target, trials)
        # The trials may have taken long, and the machine's other work may have changed.
        speeds = measured(team, learning.start, asked.message)
        draws = range(_TRIALS, _TRIALS + asked.repeats)
        expected: dict[str, list[Curve]] = {}
        for way in ways:
            foresee = partial(predicted, learning, speeds, most, way)
            rate, runs = stable(foresee, rates[way.name], target, asked.repeats)
            rates[way.name], expected[way.name] = rate, runs
        load = os.getloadavg()[0]
        curves: dict[str, list[Curve]] = {way.name: [] for way in ways}
        metrics: dict[str, Any] = {}
        # All candidates meet a change of the machine's other work.
        for place, draw in enumerate(tqdm(draws, desc="runs", unit="repeat", disable=None)):
            for way in ways:
                enough = min(most, int(_LONGER * len(expected[way.name][place])) + 10)
                curve, run = raced(
                    learning, team, speeds.workers, enough, way, rates[way.name], draw
                )
                curves[way.name].append(curve)
                held = check(run.tree)
                metrics |= {
                    f"{way.name}_largest_distance": held.largest_distance,
                    f"{way.name}_conditions_hold": held.fresh and held.contained,
                    f"{way.name}_dropped": run.dropped,
                }
        load_after = os.getloadavg()[0]
    seconds = {
        clock: {name: _times(target, name, of[name]) for name in of}
        for clock, of in (("predicted", expected), ("measured", curves))
    }
    metrics = {
        "workers": count,
        "initial_loss": before,
        "target_loss": target,
        "load_before": load,
        "load_after": load_after,
        "server_milliseconds": 1e3 * sum(vars(speeds.handling).values()),
        "variation": speeds.workers.variation,
        **{f"worker_{i}_seconds": took for i, took in enumerate(speeds.workers.compute)},
        **{f"{name}_rate": rate for name, rate in rates.items()},
        **metrics,
        **advised(ways, seconds["predicted"], seconds["measured"]),
    }
    return _dataset(ways, {"predicted": expected, "measured": curves}, target), metrics


def _times(target: float, name: str, curves: Sequence[Curve]) -> np.ndarray:
    """Return the time of each run to the target; NaN where a run missed it."""
    times = np.array([seconds_to(target, curve) for curve in curves])
    times[np.isinf(times)] = np.nan
    if np.isnan(times).all():
        raise DivergenceError(
            f"{name} missed the validation loss {target:.4g} in all {len(times)} runs: raise "
            "'gradients'"
        )
    return times


def _dataset(
    ways: Sequence[Candidate], curves: Mapping[str, Mapping[str, Sequence[Curve]]], target: float
) -> xr.Dataset:
    names, clocks = [way.name for way in ways], list(curves)
    repeats = len(curves[clocks[0]][names[0]])
    longest = max(len(c) for of in curves.values() for runs in of.values() for c in runs)
    whole = np.full((len(names), len(clocks), repeats, longest, 2), np.nan)
    for j, clock in enumerate(clocks):
        for i, name in enumerate(names):
            for k, curve in enumerate(curves[clock][name]):
                whole[i, j, k, : len(curve)] = curve
    dims = ("candidate", "clock", "repeat", "look")
    return xr.Dataset(
        {
            "time": variable(dims, whole[..., 0], "time since the start", "s"),
            "loss": variable(dims, whole[..., 1], "validation loss"),
        },
        coords={
            "candidate": variable("candidate", names, "way to train"),
            "clock": variable("clock", clocks, "whose clock"),
        },
        attrs={"target": target},
    )
