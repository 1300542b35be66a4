"""Populations with a known truth, and the mistakes of a wrong model of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.trust.right_models import RIGHT, autoregressive

__all__ = ["MISTAKES", "Drawn", "drawn", "model"]

TIMES = np.linspace(0.25, 4.0, 10)
# Means and standard deviations of log size and log rate; standard deviation of the noise.
MEANS, DEVIATIONS, NOISE = np.array([0.5, -0.5]), np.array([0.3, 0.4]), 0.1

# Systems in a batch, and the limit of the instrument.
_BATCH, _LIMIT = 10, 0.25

Rng = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """Observations (N, d_y), and a number and a label (N,) of each system."""

    y: np.ndarray
    known: np.ndarray
    batch: np.ndarray


def _logs(rng: Rng, count: int) -> np.ndarray:
    return MEANS + DEVIATIONS * rng.standard_normal((count, 2))


def _curves(logs: np.ndarray) -> np.ndarray:
    size, rate = np.exp(logs).T
    return size[:, None] * np.exp(-rate[:, None] * TIMES)


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


def _by_batch(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    shifts = 0.6 * DEVIATIONS[1] * rng.standard_normal(len(logs))
    return np.column_stack([logs[:, 0], logs[:, 1] + shifts[_batches(len(logs))]])


def _batches(count: int) -> np.ndarray:
    return np.arange(count) // _BATCH


def _as_it_is(rng: Rng, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    return logs


def _stretched(logs: np.ndarray) -> np.ndarray:
    """Return signals that decay as a stretched exponential."""
    size, rate = np.exp(logs).T
    return size[:, None] * np.exp(-((rate[:, None] * TIMES) ** 0.8))


def _one_far(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y[len(y) // 2, 4] += 10 * NOISE
    return y


def _broken(y: np.ndarray) -> np.ndarray:
    """Let the sixth sensor show the same value whatever it measures, with the usual noise."""
    y = y.copy()
    y[:, 5] += 0.4 - _curves(MEANS[None])[0, 5] + 3 * (y[:, 5] - y[:, 5].mean())
    return y


def _rounded(y: np.ndarray) -> np.ndarray:
    return np.round(y / (3 * NOISE)) * 3 * NOISE


def _kept(y: np.ndarray) -> np.ndarray:
    return np.maximum(y, _LIMIT)


def _dropped(y: np.ndarray) -> np.ndarray:
    return np.where(y < _LIMIT, np.nan, y)


def _measured(y: np.ndarray) -> np.ndarray:
    return y


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
    curves : callable
        The signals of logarithms of the parameters.
    recorded : callable
        What becomes of the observations (N, 10).
    column : {"", "known", "batch"}
        The column of the table that the model does not use.
    cause : str
        Pattern of the finding that names the mistake.
    """

    told: str
    noise: Callable[[Rng, np.ndarray], np.ndarray] = _independent
    law: Callable[[Rng, np.ndarray, np.ndarray], np.ndarray] = _as_it_is
    offset: float = 0.0
    curves: Callable[[np.ndarray], np.ndarray] = _curves
    recorded: Callable[[np.ndarray], np.ndarray] = _measured
    column: str = ""
    cause: str = ""


MISTAKES = {
    "none": Mistake("none"),
    "correlated_noise": Mistake(
        "the noise is autoregressive, 0.5 at lag 1",
        autoregressive(1.0, 0.5).drawn,
        cause="correlated in time",
    ),
    "uneven_noise": Mistake(
        "the noise of the last three times is twice as large",
        _by_entry,
        cause="deviation of the noise is different in",
    ),
    "proportional_noise": Mistake(
        "the noise is proportional to the signal", _proportional, cause="grows with the signal"
    ),
    "heavy_tails": Mistake(
        "the noise is of Student's t with 4 degrees of freedom", _heavy_tails, cause="heavy tails"
    ),
    "noise_by_system": Mistake(
        "the logarithm of the noise varies by 0.5 between systems",
        _by_system,
        cause="noise differs from system to system",
    ),
    "correlated_parameters": Mistake(
        "size and rate are correlated by 0.7",
        law=_parameters_correlated,
        cause="size and rate are correlated",
    ),
    "skewed_law": Mistake(
        "the log rate is exponential", law=_skewed, cause="law of rate (is skewed|has)"
    ),
    "two_groups": Mistake(
        "the rates are of two groups", law=_two_groups, cause="law of rate has several groups"
    ),
    "known_effect": Mistake(
        "the rate depends on a known quantity, by 0.7 standard deviations",
        law=_known_effect,
        cause="rate depends on known",
    ),
    "offset": Mistake(
        "all observations are too large by half the noise",
        offset=0.5 * NOISE,
        cause="simulator is off",
    ),
    "unused_column": Mistake(
        "the rate depends on a column of the table, by 0.7 standard deviations",
        law=_known_effect,
        column="known",
        cause="rate depends on known",
    ),
    "batches": Mistake(
        "the rates of batches of ten systems differ by 0.6 standard deviations",
        law=_by_batch,
        column="batch",
        cause="rate differs between the labels of batch",
    ),
    "wrong_simulator": Mistake(
        "the decay is a stretched exponential, with exponent 0.8",
        curves=_stretched,
        cause="simulator is off",
    ),
    "outlier": Mistake(
        "one observation is off by ten times the noise",
        recorded=_one_far,
        cause="an observation is far from its prediction: system",
    ),
    "broken_sensor": Mistake(
        "one sensor has four times the spread, about another value",
        recorded=_broken,
        cause="in observation 6",
    ),
    "rounding": Mistake(
        "observations are rounded to three times the noise", recorded=_rounded, cause="round"
    ),
    "limit_kept": Mistake(
        "observations below a limit are the limit", recorded=_kept, cause="equal to the smallest"
    ),
    "limit_dropped": Mistake(
        "observations below a limit are missing",
        recorded=_dropped,
        cause="missing where the signal is small",
    ),
}
"""The mistakes by name; "none" is the model itself."""


def drawn(case: str, count: int, seed: int) -> Drawn:
    """Return a population of ``count`` systems, of a mistake or of a right model."""
    rng = np.random.default_rng([seed, count])
    if case in RIGHT:
        return Drawn(RIGHT[case].drawn(rng, count), np.zeros(count), _batches(count))
    own, known = MISTAKES[case], rng.standard_normal(count)
    signal = own.curves(own.law(rng, _logs(rng, count), known))
    y = signal + NOISE * own.noise(rng, signal) + own.offset
    return Drawn(own.recorded(y), known, _batches(count))


def model(population: Drawn, case: str) -> dict[str, Any]:
    """Return a right model, or that of the population "none", as arguments of `popinv.fit`.

    Where the mistake is the effect of a known quantity, the law has its effect on the size alone.
    Where it is a column that is not used, the table has it.
    """
    if case in RIGHT:
        return {"data": population.y, **RIGHT[case].model}

    def curves(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        return z[:, :1] * torch.exp(-z[:, 1:] * torch.as_tensor(times))

    start = {name: {"mean": 0.0, "standard_deviation": 0.5} for name in ("size", "rate")}
    law: dict[str, Any] = {"kind": "lognormal", "start": start}
    given = {"data": population.y, "simulator": curves, "noise": "isotropic", "law": law}
    if case == "known_effect":
        law["covariates"] = {"size": ["known"]}
        given["known"] = {"known": population.known}
    if column := MISTAKES[case].column:
        count = len(population.y)
        table = pd.DataFrame(
            {
                "system": np.repeat(np.arange(count), len(TIMES)),
                "time": np.tile(TIMES, count),
                "y": population.y.ravel(),
                column: np.repeat(getattr(population, column), len(TIMES)),
            }
        )
        columns = {"system_column": "system", "time_column": "time", "value_column": "y"}
        return given | {"data": table, **columns}
    return given | {"times": TIMES}
