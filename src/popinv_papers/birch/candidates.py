"""The ways to train that a study compares: their step sizes, what all can reach, and the advice.

The advice is to train on several machines or not, and how; from predicted times, before the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from popinv.errors import DivergenceError
from popinv_papers.birch.catalogue import METHODS, policy
from popinv_papers.birch.engine import Policy
from popinv_papers.birch.live import Adam, Plain, Steps

_RATES = {"sgd": tuple(2.0**-k for k in range(6)), "adam": tuple(0.04 * 2.0**-k for k in range(6))}
# Part of the improvement that the least able candidate is sure of.
_SHARE = 0.9


@dataclass(frozen=True)
class Candidate:
    """A way to train: a policy by its name, and steps of "sgd" or "adam" on the main branch."""

    name: str
    method: str
    optimiser: str
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether one worker does everything."""
        return self.method == "vanilla"

    @property
    def title(self) -> str:
        """The name in words."""
        if self.alone:
            return f"one worker, {'Adam' if self.optimiser == 'adam' else 'SGD'}"
        by_adam = ", with Adam" if self.optimiser == "adam" else ""
        return METHODS[self.method].title + by_adam

    @property
    def rates(self) -> tuple[float, ...]:
        """The step sizes that are tried."""
        return _RATES[self.optimiser]

    def policy(self, count: int) -> Policy:
        """Return a new policy for n workers."""
        return policy(self.method, count, self.settings)

    def steps(self, rate: float | np.ndarray) -> Steps:
        """Return new steps of a size, or of several along the first axis of points."""
        return Adam(rate) if self.optimiser == "adam" else Plain(rate)


def candidates(count: int) -> tuple[Candidate, ...]:
    """Return the ways that are compared with n workers; the first is the study's way."""
    late = {"delay": 4 * count}
    return (
        Candidate("adam_alone", "vanilla", "adam"),
        Candidate("sgd_alone", "vanilla", "sgd"),
        Candidate("minibatch", "minibatch", "sgd"),
        Candidate("ringmaster", "ringmaster", "sgd", late),
        Candidate("async_local", "async_local", "sgd", {"steps": 2, "delay": 2 * count}),
        Candidate("minibatch_adam", "minibatch", "adam"),
        Candidate("ringmaster_adam", "ringmaster", "adam", late),
    )


# Times and losses of a run, shape (looks, 2).
Curve = np.ndarray


def seconds_to(target: float, curve: Curve) -> float:
    """Return when a run first met a loss; infinite if it did not."""
    met = np.flatnonzero(curve[:, 1] <= target)
    return float(curve[met[0], 0]) if len(met) else np.inf


def _sure(curves: Sequence[Curve]) -> float:
    """Return the loss that runs settle at: the mean over their last quarter, in the worst run."""
    return max(float(np.mean(curve[-max(1, len(curve) // 4) :, 1])) for curve in curves)


def common_target(before: float, trials: Mapping[str, Mapping[float, Sequence[Curve]]]) -> float:
    """Return a loss that every candidate reaches in all its trial runs with some step size.

    Each candidate settles at some loss with its best step size. The target is nine tenths of the
    improvement of the least able one. The trials have a curve for each draw of the minibatches, by
    name of the candidate and step size.

    Raises
    ------
    DivergenceError
        If no step size of some candidate improves the loss in all its runs.
    """
    sure = {}
    for name, by_rate in trials.items():
        sure[name] = min(_sure(curves) for curves in by_rate.values())
        if not sure[name] < before:
            raise DivergenceError(
                f"{name}: none of the step sizes from {min(by_rate):.2g} to {max(by_rate):.2g} "
                f"brings the validation loss below {before:.4g} in every run"
            )
    return float(before - _SHARE * (before - max(sure.values())))


def best_rates(
    target: float, trials: Mapping[str, Mapping[float, Sequence[Curve]]]
) -> dict[str, float]:
    """Return each candidate's step size with the shortest mean time to the target.

    A step size counts only if its runs settle below the target, so that none is taken that reaches
    it on the way to divergence.
    """

    def mean(curves: Sequence[Curve]) -> float:
        if not _sure(curves) <= target:
            return np.inf
        return float(np.mean([seconds_to(target, curve) for curve in curves]))

    return {
        name: min(by_rate, key=lambda rate: mean(by_rate[rate])) for name, by_rate in trials.items()
    }


# Several machines are advised if the prediction gains by more than it may be wrong.
_WORTH = 1.15


def advised(
    ways: Sequence[Candidate],
    predicted: Mapping[str, np.ndarray],
    measured: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Return times, speed-ups and the advice, flat.

    ``advice`` is the name of a candidate: the fastest of several workers if its predicted speed-up
    over the fastest single worker is at least 1.15, else that single worker. ``several_machines``
    says which of both it is.

    Parameters
    ----------
    ways : sequence of Candidate
        Speed-ups are over the first.
    predicted, measured : mapping of str to ndarray of shape (repeats,)
        Seconds to the target by name; NaN for a run that missed it.
    """
    first = ways[0].name
    # Both means are over the same runs.
    both = {
        way.name: ~np.isnan(predicted[way.name]) & ~np.isnan(measured[way.name]) for way in ways
    }
    mean = {
        clock: {name: float(of[name][met].mean()) for name, met in both.items()}
        for clock, of in (("predicted", predicted), ("measured", measured))
    }
    expected, real = mean["predicted"], mean["measured"]
    numbers: dict[str, Any] = {}
    for way in ways:
        name = way.name
        ratios = measured[name] / predicted[name]
        numbers |= {
            f"{name}_predicted_seconds": expected[name],
            f"{name}_measured_seconds": real[name],
            f"{name}_measured_over_predicted": real[name] / expected[name],
            f"{name}_measured_over_predicted_least": float(np.nanmin(ratios)),
            f"{name}_measured_over_predicted_most": float(np.nanmax(ratios)),
            f"{name}_missed": int(np.isnan(measured[name]).sum()),
            f"{name}_predicted_speed_up": expected[first] / expected[name],
            f"{name}_measured_speed_up": real[first] / real[name],
        }
    by_time = sorted(ways, key=lambda way: expected[way.name])
    alone = next(way for way in by_time if way.alone)
    several = next(way for way in by_time if not way.alone)
    gain = expected[alone.name] / expected[several.name]
    worth = gain >= _WORTH
    chosen = several if worth else alone
    fastest = min(ways, key=lambda way: real[way.name])
    errors = [abs(numbers[f"{way.name}_measured_over_predicted"] - 1) for way in ways]
    wrong = [
        abs(numbers[f"{w.name}_measured_speed_up"] / numbers[f"{w.name}_predicted_speed_up"] - 1)
        for w in ways
    ]
    return numbers | {
        "advice": chosen.name,
        "several_machines": worth,
        "predicted_gain_over_one_worker": gain,
        "measured_gain_over_one_worker": real[alone.name] / real[several.name],
        "fastest_measured": fastest.name,
        "advice_measured_over_fastest": real[chosen.name] / real[fastest.name],
        "largest_error_of_seconds": max(errors),
        "largest_error_of_speed_up": max(wrong),
        "statement": _statement(chosen, alone, several, gain, mean),
    }


def _statement(
    chosen: Candidate,
    alone: Candidate,
    several: Candidate,
    gain: float,
    mean: Mapping[str, Mapping[str, float]],
) -> str:
    def both(way: Candidate) -> str:
        return (
            f"{mean['predicted'][way.name]:.3g} s predicted, "
            f"{mean['measured'][way.name]:.3g} s measured"
        )

    advice = f"train on {'one machine' if chosen.alone else 'several machines'}: {chosen.title}"
    other = alone if chosen is several else several
    return (
        f"{advice} ({both(chosen)}); {other.title} takes {both(other)}; several machines are "
        f"predicted to be {gain:.3g} times as fast as the fastest single one"
    )
