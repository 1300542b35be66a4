"""A study's surrogate trained by real worker processes of unequal speed.

Would the surrogate's training gain from several unequal machines, and which way of sharing the
work suits them? Three policies train it afresh by plain stochastic gradient descent, in real time;
the simulated clock, given the seconds that the workers were measured to take, says what was to be
expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from popinv.downstream.birch.catalogue import METHODS, policy
from popinv.downstream.birch.engine import Workers
from popinv.downstream.birch.live import LiveRun, RealRun, Team
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

__all__ = ["Learning", "compare", "policies"]

_LOOKS = 50
# Step sizes that are tried. The best is often the last that is stable, and by luck: in another
# order of the gradients it may not be. Half of it is taken.
_RATES = tuple(0.5 * 2.0**-k for k in range(7))
_MARGIN = 0.5


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

    def slope(self, worker: int, count: int, weights: np.ndarray) -> np.ndarray:
        """Return the gradient on a worker's minibatch of that number, shape (p,)."""
        z, y, row_weights = self.problem.training
        draw = generator(self.seed, f"birch/batch/{worker}", count)
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


def policies(count: int) -> dict[str, dict[str, float]]:
    """Return the policies that are compared, with their settings for n workers."""
    return {
        "minibatch": {},
        "ringmaster": {"delay": 4 * count},
        "async_local": {"steps": 2, "delay": 2 * count},
    }


def compare(learning: Learning, asked: Birch) -> tuple[xr.Dataset, dict[str, Any]]:
    """Train with each policy, by real workers and by simulated ones.

    Parameters
    ----------
    learning : Learning
    asked : Birch
        The study's settings of the method: seconds, message, gradients.

    Returns
    -------
    result : Dataset
        Time and validation loss along ``policy``, ``clock`` and ``look``.
    metrics : dict
        The target is the lowest validation loss that all runs reach.

    Raises
    ------
    DivergenceError
        If no step size of those tried is stable.
    """
    seconds, message = asked.seconds, asked.message
    gradients = asked.gradients
    every, count = max(1, gradients // _LOOKS), len(seconds)
    names, start = policies(count), learning.start
    before = learning.loss(start)
    curves: dict[tuple[str, str], np.ndarray] = {}
    by_policy: dict[str, float] = {}
    with fixed_threads(), Team(seconds, learning.slope) as team:
        for name, settings in tqdm(names.items(), desc="birch", unit="policy", disable=None):

            def new(name: str = name, settings: dict[str, float] = settings) -> Any:
                return policy(name, count, settings)

            nominal = Workers(tuple(seconds), (message,) * count)
            tried = {}
            for rate in _RATES:
                trial = LiveRun(nominal, new(), start, learning.slope, rate, every)
                with np.errstate(over="ignore", invalid="ignore"):
                    trial.until(gradients)
                    later = [learning.loss(x) for _, x in trial.looks[len(trial.looks) // 2 :]]
                tried[rate] = float(np.mean(later))
            rate = min(tried, key=lambda rate: tried[rate])
            if not tried[rate] < before:
                raise DivergenceError(
                    f"{METHODS[name].title}: none of the step sizes from {_RATES[-1]:.2g} to "
                    f"{_RATES[0]:.2g} brings the validation loss below {before:.4g}"
                )
            rate *= _MARGIN
            real = RealRun(team, message, new(), start, rate, every)
            real.until(gradients)
            measured = tuple(
                float(np.mean(took)) if took else float(least)
                for took, least in zip(real.took, seconds, strict=True)
            )
            expected = LiveRun(
                Workers(measured, (message,) * count), new(), start, learning.slope, rate, every
            )
            expected.until(gradients)
            held = check(real.tree)
            for clock, run in (("real", real), ("simulated", expected)):
                curves[name, clock] = np.array([(t, learning.loss(x)) for t, x in run.looks])
            by_policy |= {
                f"{name}_rate": rate,
                f"{name}_dropped": real.dropped,
                f"{name}_largest_distance": held.largest_distance,
                f"{name}_conditions_hold": held.fresh and held.contained,
                f"{name}_slowest_worker_seconds": max(measured),
                f"{name}_fastest_worker_seconds": min(measured),
            }
    target = max(float(curve[:, 1].min()) for curve in curves.values())
    seconds_to_target = _seconds_to(target, curves)
    metrics = {
        "workers": count,
        "initial_loss": before,
        **by_policy,
        "target_loss": target,
        **_times(list(names), seconds_to_target),
        "statement": f"to bring the validation loss from {before:.3g} to {target:.3g}, {count} "
        f"workers take: {_statement(list(names), seconds_to_target)}",
    }
    return _dataset(list(names), curves, target), metrics


def _seconds_to(
    target: float, curves: Mapping[tuple[str, str], np.ndarray]
) -> dict[tuple[str, str], float]:
    """Return when each run, by policy and clock, first met the target."""
    return {
        key: float(curve[np.flatnonzero(curve[:, 1] <= target)[0], 0])
        for key, curve in curves.items()
    }


def _fastest(names: list[str], seconds: Mapping[tuple[str, str], float], clock: str) -> str:
    return min(names, key=lambda name: seconds[name, clock])


def _times(names: list[str], seconds: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """Return the times to the target, and which policy was first, flat."""
    numbers: dict[str, Any] = {}
    for name in names:
        real, simulated = seconds[name, "real"], seconds[name, "simulated"]
        numbers |= {f"{name}_real_seconds": real, f"{name}_simulated_seconds": simulated}
        if simulated > 0:
            numbers[f"{name}_real_over_simulated"] = real / simulated
    for clock in ("real", "simulated"):
        numbers[f"fastest_{clock}"] = _fastest(names, seconds, clock)
    return numbers


def _statement(names: list[str], seconds: Mapping[tuple[str, str], float]) -> str:
    """Return in words what each policy took, by either clock, the fastest first."""
    times = ", ".join(
        f"{METHODS[name].title} {seconds[name, 'real']:.3g} s "
        f"(simulated {seconds[name, 'simulated']:.3g} s)"
        for name in sorted(names, key=lambda name: seconds[name, "real"])
    )
    fastest = METHODS[_fastest(names, seconds, "simulated")].title
    return f"{times}; simulated, {fastest} is the fastest"


def _dataset(
    names: list[str], curves: Mapping[tuple[str, str], np.ndarray], target: float
) -> xr.Dataset:
    clocks = ("real", "simulated")
    longest = max(len(curve) for curve in curves.values())
    whole = np.full((len(names), len(clocks), longest, 2), np.nan)
    for (name, clock), curve in curves.items():
        whole[names.index(name), clocks.index(clock), : len(curve)] = curve
    dims = ("policy", "clock", "look")
    return xr.Dataset(
        {
            "time": variable(dims, whole[..., 0], "time since the start", "s"),
            "loss": variable(dims, whole[..., 1], "validation loss"),
        },
        coords={
            "policy": variable("policy", np.array(names, dtype=np.str_), "policy"),
            "clock": variable("clock", np.array(clocks, dtype=np.str_), "whose clock"),
        },
        attrs={"target": target},
    )
