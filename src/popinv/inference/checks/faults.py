r"""Features of faulty data: values at a limit, gaps that depend on the signal, and single systems.

What is wrong there is not law, noise or simulator, but it looks like a mistake of each of them. A
finding therefore comes before theirs.

Values that were beyond a limit may have been set to it: several observations are then equal to the
smallest or the largest one. Their number, less the one that any sample has, is compared with the
observations of simulated systems that are as close to it as rounding makes equal. Or they may have
been left out. The score of the effect b of the signal g on the log odds of a gap is

.. math:: \sum_j (m_j - \pi_j)\, \frac{g_j - \bar g_j}{s_j},

with the gaps m of a system, their share :math:`\pi` among all, and mean and deviation of the
signal. A system is far from the others if its largest squared residual, or one of its standard
normal numbers, is larger than the largest of as many systems of the fitted model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.inference.density.problem import Problem
from popinv.late import torch

# Fewest equal values, and the share of the deviation of the data within which values are equal.
_EQUAL, _WIDTH = 3, 0.01
# Share of the distances of simulated systems that are their tail, and the fewest of them.
_TAIL, _FEWEST_TAIL = 0.02, 20
# Share of a step within which a value is a multiple of it.
_MULTIPLE = 1e-3
# Standard errors beyond which the residuals of an entry have a mean or a deviation of their own.
_UNLIKE = 3.5


@dataclass(frozen=True)
class Largest:
    """The system that is furthest from the mean of all.

    Attributes
    ----------
    names : sequence of str
        The systems.
    squared : bool
        Whether values have a distance on both sides, measured by its square.
    """

    names: tuple[str, ...]
    squared: bool = False

    def distances(self, values: np.ndarray) -> np.ndarray:
        """Return the distances (N,) of values from their mean; squares have exponential tails."""
        away = values - values.mean()
        return np.asarray(away**2 if self.squared else away)

    def drawn(
        self, values: np.ndarray, samples: Iterable[np.ndarray], rng: np.random.Generator
    ) -> np.ndarray:
        """Return the largest distance (B,) in each of some samples of simulated systems.

        Beyond the distance u that a small share of the systems exceeds, the tail is exponential
        with the mean excess of these. Without it, no sample would lie beyond all of them.

        Parameters
        ----------
        values : ndarray of shape (M,)
        samples : iterable of ndarray of int, shape (b, N)
            The systems of B samples, in blocks.
        """
        away = values - values.mean()
        d = self.distances(values)
        most = max(_FEWEST_TAIL, round(_TAIL * len(d)))
        u = np.partition(d, -most - 1)[-most - 1]
        excess = (d[d > u] - u).mean()
        largest = []
        for rows in samples:
            each, tail = away[rows], (d > u)[rows]
            beyond = u + excess * rng.standard_exponential(int(tail.sum()))
            each[tail] = np.sign(each[tail]) * np.sqrt(beyond) if self.squared else beyond
            each -= each.mean(axis=1, keepdims=True)
            largest.append((each**2 if self.squared else each).max(axis=1))
        return np.concatenate(largest)


@dataclass(frozen=True)
class AtLimit:
    """Observations that are equal to their smallest, or largest, value.

    Attributes
    ----------
    entries : ndarray of int
        Numbers of the observations that have the limit in common.
    value, width : float
        The value, and the distance within which values are equal by rounding.
    count : int
    below : bool
    """

    entries: np.ndarray
    value: float
    width: float
    count: int
    below: bool

    def __call__(self, y: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Return the number (n,) of values at the limit; the first one counts for nothing."""
        y, present = y[:, self.entries], present[:, self.entries]
        found = ((np.abs(y - self.value) <= self.width) & present).sum(axis=1).astype(float)
        found[((y == self.value) & present).any(axis=1).nonzero()[0][:1]] -= 1
        return found

    @property
    def words(self) -> tuple[str, str]:
        """The finding, and the key to write."""
        end, key = ("smallest", "below") if self.below else ("largest", "above")
        value = f"{self.value:.6g}"
        return (
            f"{self.count} observations are equal to the {end} one, {value}",
            f"observations.censored_{key}: {value}, if they may lie {key} it",
        )


def values_at_limits(problem: Problem, observations: xr.Dataset) -> Iterator[AtLimit]:
    """Yield the ends of the data that several observations have in common.

    Observations with the same label share their ends. Stated limits are no finding.
    """
    conditions = problem.conditions
    y = np.where(conditions.present, np.asarray(problem.data), np.nan)
    for entries in _labelled(observations, y.shape[1]):
        values, counts = np.unique(
            y[:, entries][conditions.present[:, entries]], return_counts=True
        )
        if len(values) < _EQUAL:
            continue
        spread = float(np.nanstd(y[:, entries]))
        limits = conditions.limits
        for end, beside, below in ((0, 1, True), (-1, -2, False)):
            stated = limits.lower if below else limits.upper
            if counts[end] < _EQUAL or np.isfinite(stated[:, entries]).any():
                continue
            rounding = abs(float(values[beside] - values[end])) / 2
            near = max(rounding, _WIDTH * spread)
            yield AtLimit(entries, float(values[end]), near, int(counts[end]), below)


@dataclass(frozen=True)
class Rounded:
    """Observations that are whole multiples of a step, from one of them on.

    Attributes
    ----------
    entries : ndarray of int
        Numbers of the observations that have the step in common.
    value, step : float
        One of the observations, and the step.
    beside_noise : float
        The step in standard deviations of the noise.
    """

    entries: np.ndarray
    value: float
    step: float
    beside_noise: float

    def __call__(self, y: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Return the number (n,) of observations that are multiples."""
        steps = (y[:, self.entries] - self.value) / self.step
        near = np.abs(steps - np.round(steps)) < _MULTIPLE
        return (near & present[:, self.entries]).sum(axis=1).astype(float)

    @property
    def words(self) -> tuple[str, str]:
        """The finding, and what to do."""
        return (
            f"the observations are rounded to multiples of {self.step:.4g}, "
            f"{self.beside_noise:.2g} standard deviations of the noise",
            "observations before rounding; law and noise hold the error of rounding",
        )


def roundings(problem: Problem, observations: xr.Dataset, p: np.ndarray) -> Iterator[Rounded]:
    """Yield the steps of observations that are larger than the noise at p (n_p,).

    Smaller steps add less than a tenth to the variance of the noise. Observations with the same
    label share their step. The answers of a random simulator may be whole numbers themselves.
    """
    if problem.noise.intrinsic:
        return
    present = problem.conditions.present
    y = np.where(present, np.asarray(problem.data), np.nan)
    deviation = np.resize(noise_deviations(problem, p), y.shape[1])
    for entries in _labelled(observations, y.shape[1]):
        values = np.unique(y[:, entries][present[:, entries]])
        if len(values) < _EQUAL:
            continue
        steps = np.diff(values)
        step = float(steps[steps > 1e-9 * np.abs(values).max()].min(initial=np.inf))
        beside = step / float(np.median(deviation[entries]))
        found = Rounded(entries, float(values[0]), step, beside)
        if 1 < beside < np.inf and found(y, present).sum() == present[:, entries].sum():
            yield found


def noise_deviations(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return the deviations (d,) of one replicate's noise at p (n_p,), at the observed signals."""
    one, present = problem.noise.of_one, problem.conditions.present
    y = np.where(present, np.asarray(problem.data), 0.0)[:, : one.d_y]
    with torch.no_grad():
        signals = one.of_run(torch.from_numpy(y))
        covariates = problem.conditions.known.covariates
        covariance = one.mean_covariance(problem.tensors(p)[1], signals, covariates)
    return np.asarray(covariance.diagonal().sqrt())


def _labelled(observations: xr.Dataset, width: int) -> Iterator[np.ndarray]:
    """Yield the numbers of the observations with each label; all, if there are no labels."""
    labels = observations["label"].values if "label" in observations.coords else np.zeros(width)
    labels = np.resize(labels, width)
    for label in dict.fromkeys(labels.tolist()):
        yield np.flatnonzero(labels == label)


def gaps_by_signal(
    shares: torch.Tensor,
    mean: torch.Tensor,
    deviation: torch.Tensor,
    omega: torch.Tensor,
    r: torch.Tensor,
    g: torch.Tensor,
) -> torch.Tensor:
    """Return the score of the signal's effect on gaps (n, S), from their shares (d_y,)."""
    excess = torch.where(r == 0, 1 - shares, -shares)
    return (excess * (g - mean) / deviation).sum(dim=-1)


@dataclass(frozen=True)
class Spread:
    """Mean and deviation (d_y,) of the residuals of each entry over systems.

    They are 0 and 1 unless those of the entry are further away than chance.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def usual(cls, problem: Problem) -> Spread:
        """Return those of the fitted model."""
        width = problem.data.shape[1]
        return cls(torch.zeros(width).double(), torch.ones(width).double())

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray, problem: Problem) -> Spread:
        """Return those of a problem from means (N, d_y) of residuals and of their squares."""
        present = problem.conditions.present
        seen = np.maximum(present.sum(axis=0), 1)
        mean = (first * present).sum(axis=0) / seen
        variance = (second * present).sum(axis=0) / seen - mean**2
        deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
        # Those of few systems differ by chance, and the systems would look more alike than they do
        # by the model.
        mean = np.where(np.abs(mean) * np.sqrt(seen) > _UNLIKE, mean, 0.0)
        off = np.abs(np.log(deviation)) * np.sqrt(2 * seen) > _UNLIKE
        deviation = np.where(off, deviation, 1.0)
        return cls(torch.from_numpy(mean), torch.from_numpy(deviation))

    def standardised(self, r: torch.Tensor) -> torch.Tensor:
        """Return residuals (n, S, d_y) by their own mean and deviation, zero where none is."""
        return torch.where(r == 0, 0.0, (r - self.mean) / self.deviation)


class FirstMoments:
    """The residuals of draws, their squares, and omega, (n, S, 2 d_y + d_omega)."""

    def __call__(
        self, omega: torch.Tensor, residual: torch.Tensor, signal: torch.Tensor
    ) -> torch.Tensor:
        """Return them of draws (n, S, d_omega), (n, S, d_y) and (n, S, d_y)."""
        return torch.cat([residual, residual.square(), omega], dim=-1)


def largest_square(omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Return the largest squared residual of draws, (n, S)."""
    return r.square().amax(dim=-1)
