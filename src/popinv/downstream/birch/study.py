"""Whether a study's surrogate is worth training on several machines, and how.

One worker with Adam, which is what the study does, is compared with one worker and several workers
under other policies. Gradients and the server's work are measured first. The simulated clock, fed
with these times, predicts how long each way takes to a loss that all can reach; worker processes of
unequal speed then measure it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from popinv.downstream.birch.advice import advised
from popinv.downstream.birch.candidates import (
    Candidate,
    Curve,
    best_rates,
    candidates,
    common_target,
    seconds_to,
)
from popinv.downstream.birch.catalogue import policy
from popinv.downstream.birch.engine import Workers
from popinv.downstream.birch.live import Handling, LiveRun, RealRun, Team
from popinv.downstream.birch.steps import Plain
from popinv.downstream.birch.tree import check
from popinv.errors import DivergenceError
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.training import (
    TrainingData,
    TrainingProblem,
    TrainingSettings,
    prepare,
)
from popinv.surrogate.training_problem import loss_of, validation_loss_of
from popinv.threads import fixed_threads

if TYPE_CHECKING:
    from popinv.downstream.birch.section import Birch

__all__ = ["Learning", "Speeds", "compare", "measured", "predicted"]

_LOOKS = 100
# Draws of the minibatches by which step sizes are chosen; the runs that count have others.
_TRIALS = 2
# Numbers of minibatches between two draws, more than a worker can take in a run.
_APART = 1_000_000
# Gradients of each worker that are left out as it warms up, and of the slowest that are timed.
_WARM, _TIMED = 2, 6
# A real run may take this many times the predicted number of gradients to the target.
_LONGER = 1.5


@dataclass(frozen=True)
class Learning:
    """The surrogate's training as an objective of its weights.

    Attributes
    ----------
    problem : TrainingProblem
    start : ndarray of shape (p,)
        The initial weights.
    batch_size, seed : int
    """

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
        parameters = list(self.problem.network.parameters())
        vector = torch.from_numpy(np.array(weights)).to(parameters[0].dtype)
        vector_to_parameters(vector, parameters)
        return parameters

    def slope(self, worker: int, number: int, weights: np.ndarray) -> np.ndarray:
        """Return the gradient on a worker's minibatch of that number, shape (p,)."""
        z, y, row_weights = self.problem.training
        draw = generator(self.seed, f"birch/batch/{worker}", number)
        index = torch.from_numpy(draw.integers(len(z), size=self.batch_size))
        parameters = self._set(weights)
        loss = loss_of(self.problem, z[index], y[index], row_weights[index])
        gradients = torch.autograd.grad(loss, parameters)
        return torch.cat([part.reshape(-1) for part in gradients]).numpy().astype(float)

    def loss(self, weights: np.ndarray) -> float:
        """Return the validation loss; infinite where it is not finite."""
        self._set(weights)
        value = validation_loss_of(self.problem)
        return value if np.isfinite(value) else np.inf

    def curve(self, looks: Sequence[tuple[float, np.ndarray]]) -> Curve:
        """Return times and validation losses of a run's looks, shape (looks, 2)."""
        return np.array([(time, self.loss(weights)) for time, weights in looks])


@dataclass(frozen=True)
class Speeds:
    """What was measured before the runs: times of gradients, and of the server's work."""

    workers: Workers
    handling: Handling


def measured(team: Team, learning: Learning, message: float) -> Speeds:
    """Let all workers compute at once, without steps, and time them and the server.

    Returns
    -------
    Speeds
        The mean time of each worker's gradients, their coefficient of variation over all workers,
        and the mean times of the server's work.
    """
    slowest, n = max(team.seconds), len(team.seconds)
    wanted = (_WARM + _TIMED) * sum(slowest / least for least in team.seconds)
    run = RealRun(team, 0.0, policy("asynchronous", n, {}), learning.start, Plain(0.0), 10**9)
    run.until(int(np.ceil(wanted)))
    kept = [np.array(took[_WARM:]) for took in run.took]
    relative = np.concatenate([times / times.mean() for times in kept])
    handling = {kind: float(np.mean(times[n:])) for kind, times in run.worked.items()}
    workers = Workers(
        tuple(float(times.mean()) for times in kept), (message,) * n, float(relative.std())
    )
    return Speeds(workers, Handling(**handling))


def predicted(
    learning: Learning,
    speeds: Speeds,
    gradients: int,
    candidate: Candidate,
    rate: float,
    draw: int,
) -> Curve:
    """Return times and losses of a candidate by the simulated clock."""
    workers = Workers(
        speeds.workers.compute, speeds.workers.message, speeds.workers.variation, draw
    )
    run = LiveRun(
        workers,
        candidate.policy(workers.count),
        learning.start,
        learning.slope,
        candidate.steps(rate),
        max(1, gradients // _LOOKS),
        draw * _APART,
        speeds.handling,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        run.until(gradients)
        return learning.curve(run.looks)


def compare(learning: Learning, asked: Birch) -> tuple[xr.Dataset, dict[str, Any]]:
    """Predict and measure the time of each candidate to a common target.

    Parameters
    ----------
    learning : Learning
    asked : Birch
        The study's settings of the method: seconds, message, gradients, repeats.

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
    ways, before = candidates(len(asked.seconds)), learning.loss(learning.start)
    draws = range(_TRIALS, _TRIALS + asked.repeats)
    with fixed_threads(), Team(asked.seconds, learning.slope, len(learning.start)) as team:
        speeds = measured(team, learning, asked.message)
        trial = partial(predicted, learning, speeds, asked.gradients)
        trials: dict[str, dict[float, list[Curve]]] = {}
        for way in tqdm(ways, desc="step sizes", unit="candidate", disable=None):
            trials[way.name] = {
                rate: [trial(way, rate, draw) for draw in range(_TRIALS)] for rate in way.rates
            }
        target = common_target(before, trials)
        rates = best_rates(target, trials)
        expected = {way.name: [trial(way, rates[way.name], draw) for draw in draws] for way in ways}
        load = os.getloadavg()[0]
        runs: dict[str, list[RealRun]] = {way.name: [] for way in ways}
        # All candidates meet a change of the machine's other work.
        for place, draw in enumerate(tqdm(draws, desc="runs", unit="repeat", disable=None)):
            for way in ways:
                most = _most(target, expected[way.name][place], asked.gradients)
                run = RealRun(
                    team,
                    asked.message,
                    way.policy(len(asked.seconds)),
                    learning.start,
                    way.steps(rates[way.name]),
                    max(1, asked.gradients // _LOOKS),
                    draw * _APART,
                )
                run.until(most)
                runs[way.name].append(run)
        load_after = os.getloadavg()[0]
        curves = {name: [learning.curve(run.looks) for run in runs[name]] for name in runs}
    seconds = {
        clock: {name: _times(target, name, of[name]) for name in of}
        for clock, of in (("predicted", expected), ("measured", curves))
    }
    metrics: dict[str, Any] = {
        "workers": len(asked.seconds),
        "initial_loss": before,
        "target_loss": target,
        "repeats": asked.repeats,
        "load_before": load,
        "load_after": load_after,
        "server_milliseconds": 1e3 * sum(vars(speeds.handling).values()),
    }
    for worker, took in enumerate(speeds.workers.compute):
        metrics[f"worker_{worker}_seconds"] = took
    for way in ways:
        metrics[f"{way.name}_rate"] = rates[way.name]
        metrics[f"{way.name}_sure_loss"] = min(
            max(c[:, 1].min() for c in of) for of in trials[way.name].values()
        )
        held = [check(run.tree) for run in runs[way.name]]
        metrics[f"{way.name}_largest_distance"] = max(one.largest_distance for one in held)
        metrics[f"{way.name}_conditions_hold"] = all(one.fresh and one.contained for one in held)
        metrics[f"{way.name}_dropped"] = sum(run.dropped for run in runs[way.name])
    metrics |= advised(ways, seconds["predicted"], seconds["measured"])
    return _dataset(ways, {"predicted": expected, "measured": curves}, target), metrics


def _most(target: float, curve: Curve, gradients: int) -> int:
    """Return the number of gradients of a real run."""
    every = max(1, gradients // _LOOKS)
    met = np.flatnonzero(curve[:, 1] <= target)
    return min(gradients, int(_LONGER * every * met[0]) + 2 * every) if len(met) else gradients


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
    ways: Sequence[Candidate],
    curves: Mapping[str, Mapping[str, Sequence[Curve]]],
    target: float,
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
            "candidate": variable("candidate", np.array(names, dtype=np.str_), "way to train"),
            "clock": variable("clock", np.array(clocks, dtype=np.str_), "whose clock"),
        },
        attrs={"target": target},
    )
