"""Populations with a known truth, and the mistakes of a wrong model of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = ["MISTAKES", "Drawn", "drawn", "model"]

TIMES = np.linspace(0.25, 4.0, 10)
# Means and standard deviations of log size and log rate; standard deviation of the noise.
MEANS, DEVIATIONS, NOISE = np.array([0.5, -0.5]), np.array([0.3, 0.4]), 0.1

Rng = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """Observations (N, 10), and a known quantity (N,) of each system."""

    y: np.ndarray
    known: np.ndarray


def _logs(rng: Rng, count: int) -> np.ndarray:
    return MEANS + DEVIATIONS * rng.standard_normal((count, 2))


def _curves(logs: np.ndarray) -> np.ndarray:
    size, rate = np.exp(logs).T
    return size[:, None] * np.exp(-rate[:, None] * TIMES)


def _correlated_in_time(rng: Rng, signal: np.ndarray) -> np.ndarray:
    noise = rng.standard_normal(signal.shape)
    for j in range(1, signal.shape[1]):
        noise[:, j] = 0.5 * noise[:, j - 1] + np.sqrt(0.75) * noise[:, j]
    return noise


def _by_entry(rng: Rng, signal: np.ndarray) -> np.ndarray:
    sizes = np.where(np.arange(signal.shape[1]) < 7, 1.0, 2.0)
    return sizes * rng.standard_normal(signal.shape)


def _proportional(rng: Rng, signal: np.ndarray) -> np.ndarray:
    return 1.5 * signal * rng.standard_normal(signal.shape)


def _heavy_tails(rng: Rng, signal: np.ndarray) -> np.ndarray:
    return rng.standard_t(4, signal.shape) / np.sqrt(2)


def _by_system(rng: Rng, signal: np.ndarray) -> np.ndarray:
    sizes = np.exp(0.5 * rng.standard_normal((len(signal), 1)) - 0.125)
    return sizes * rng.standard_normal(signal.shape)


def _parameters_correlated(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    first, second = ((logs - MEANS) / DEVIATIONS).T
    both = np.column_stack([first, 0.7 * first + np.sqrt(0.51) * second])
    return MEANS + DEVIATIONS * both


def _skewed(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    rate = MEANS[1] + DEVIATIONS[1] * (rng.exponential(size=len(logs)) - 1)
    return np.column_stack([logs[:, 0], rate])


def _two_groups(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return two groups of rates, eight of their own standard deviations apart."""
    centre = np.where(rng.random(len(logs)) < 0.4, -0.9, -0.1)
    return np.column_stack([logs[:, 0], centre + 0.1 * rng.standard_normal(len(logs))])


def _known_effect(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.column_stack([logs[:, 0], logs[:, 1] + 0.7 * DEVIATIONS[1] * known])


def _as_it_is(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    return logs


def _independent(rng: Rng, signal: np.ndarray) -> np.ndarray:
    return rng.standard_normal(signal.shape)


@dataclass(frozen=True)
class Mistake:
    """A difference from the fitted model.

    Attributes
    ----------
    told : str
    noise : callable
        The noise of signals (N, 10), in units of its standard deviation.
    law : callable
        The logarithms of the parameters from the logarithms under the fitted law and the known
        quantity.
    offset : float
        Added to all observations.
    """

    told: str
    noise: Callable[[Rng, np.ndarray], np.ndarray] = _independent
    law: Callable[[Rng, np.ndarray, np.ndarray], np.ndarray] = _as_it_is
    offset: float = 0.0


MISTAKES = {
    "none": Mistake("none"),
    "correlated_noise": Mistake("the noise is autoregressive, 0.5 at lag 1", _correlated_in_time),
    "uneven_noise": Mistake("the noise of the last three times is twice as large", _by_entry),
    "proportional_noise": Mistake("the noise is proportional to the signal", _proportional),
    "heavy_tails": Mistake("the noise is of Student's t with 4 degrees of freedom", _heavy_tails),
    "noise_by_system": Mistake(
        "the logarithm of the noise varies by 0.5 between systems", _by_system
    ),
    "correlated_parameters": Mistake(
        "size and rate are correlated by 0.7", law=_parameters_correlated
    ),
    "skewed_law": Mistake("the log rate is exponential", law=_skewed),
    "two_groups": Mistake("the rates are of two groups", law=_two_groups),
    "known_effect": Mistake(
        "the rate depends on a known quantity, by 0.7 standard deviations", law=_known_effect
    ),
    "offset": Mistake("all observations are too large by half the noise", offset=0.5 * NOISE),
}
"""The mistakes by name; "none" is the model itself."""


def drawn(mistake: str, count: int, seed: int) -> Drawn:
    """Return a population of ``count`` systems."""
    own, rng = MISTAKES[mistake], np.random.default_rng([seed, count])
    known = rng.standard_normal(count)
    signal = _curves(own.law(rng, _logs(rng, count), known))
    return Drawn(signal + NOISE * own.noise(rng, signal) + own.offset, known)


def model(population: Drawn, mistake: str) -> dict[str, Any]:
    """Return the model of the population "none", as arguments of :func:`popinv.fit`.

    Where the mistake is the effect of a known quantity, the law has its effect on the size alone.
    """

    def curves(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        return z[:, :1] * torch.exp(-z[:, 1:] * torch.as_tensor(times))

    start = {name: {"mean": 0.0, "standard_deviation": 0.5} for name in ("size", "rate")}
    law: dict[str, Any] = {"kind": "lognormal", "start": start}
    given = {"simulator": curves, "times": TIMES, "noise": "isotropic", "law": law}
    if mistake == "known_effect":
        law["covariates"] = {"size": ["known"]}
        given["known"] = {"known": population.known}
    return given
