"""Right models, each with a population of its own: for the size of verdicts, and for coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = ["COVERED", "RIGHT", "Noise", "RightModel"]

Rng = np.random.Generator


@dataclass(frozen=True)
class Noise:
    """Noise, with the section that describes it.

    Attributes
    ----------
    told : str
        The noise in words.
    drawn : callable
        Noise (N, d_y) beside signals.
    section : dict
    truth : dict of str to float
        True values, by the names of the answer.
    """

    told: str
    drawn: Callable[[Rng, np.ndarray], np.ndarray]
    section: dict[str, Any]
    truth: dict[str, float]


@dataclass(frozen=True)
class RightModel:
    """A population and its model.

    Attributes
    ----------
    told : str
        The model in words.
    times : sequence of float
        Times (d_y,) of the observations, or logarithms of doses.
    simulate : callable
        Maps parameters (n, d_z) and times to signals (n, d_y).
    centre, deviations : mapping of str to float
        Means and standard deviations of the parameters, of their logarithms where the law is
        lognormal. A parameter without a deviation is common to all systems.
    noise : Noise
    kind : str
        Kind of the law, with a start near the truth.
    """

    told: str
    times: Sequence[float]
    simulate: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    centre: dict[str, float]
    deviations: dict[str, float]
    noise: Noise
    kind: str

    def drawn(self, rng: Rng, count: int) -> np.ndarray:
        """Return observations (N, d_y)."""
        scatter = rng.standard_normal((count, len(self.centre)))
        spread = [self.deviations.get(name, 0.0) for name in self.centre]
        z = np.array([*self.centre.values()]) + scatter * spread
        parameters = torch.from_numpy(np.exp(z) if self.kind == "lognormal" else z)
        signal = self.simulate(parameters, torch.tensor(self.times, dtype=torch.float64)).numpy()
        return signal + self.noise.drawn(rng, signal)

    @property
    def truth(self) -> dict[str, float]:
        """True values by the names of the answer, which states medians of lognormal parameters."""
        logarithmic = self.kind == "lognormal"
        moment = "median" if logarithmic else "mean"
        centre = {
            f"{name}_{moment}": float(np.exp(value)) if logarithmic else value
            for name, value in self.centre.items()
        }
        spread = {f"{name}_standard_deviation": size for name, size in self.deviations.items()}
        return centre | spread | self.noise.truth

    @property
    def model(self) -> dict[str, Any]:
        """The model as arguments of :func:`popinv.fit`; the start is near the truth."""

        def simulate(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
            return self.simulate(z, torch.as_tensor(times))

        start = {}
        for name, mean in self.centre.items():
            # Of a lognormal parameter, the law states the mean of the logarithm.
            middle = mean + float(np.log(1.2)) if self.kind == "lognormal" else 1.2 * mean
            varies = name in self.deviations
            start[name] = {"mean": middle, "standard_deviation": 1.0 if varies else 0.0}
        law = {"kind": self.kind, "start": start}
        return {
            "simulator": simulate,
            "times": np.array(self.times, dtype=float),
            "law": law,
            "noise": self.noise.section,
        }


def independent(size: float) -> Noise:
    """Return independent noise of this deviation."""
    return Noise(
        "independent noise",
        lambda rng, signal: size * rng.standard_normal(signal.shape),
        {"kind": "isotropic"},
        {"noise_standard_deviation": size},
    )


def autoregressive(size: float, last: float) -> Noise:
    """Return stationary noise of this deviation, correlated by ``last`` with the one before."""

    def noise(rng: Rng, signal: np.ndarray) -> np.ndarray:
        e = rng.standard_normal(signal.shape)
        for j in range(1, signal.shape[1]):
            e[:, j] = last * e[:, j - 1] + np.sqrt(1 - last**2) * e[:, j]
        return size * e

    truth = {"noise_standard_deviation": size, "noise_correlation": last}
    return Noise("autoregressive noise", noise, {"kind": "autoregressive"}, truth)


def proportional(share: float) -> Noise:
    """Return noise with a deviation that is this share of the signal."""
    return Noise(
        "proportional noise",
        lambda rng, signal: share * signal * rng.standard_normal(signal.shape),
        {"kind": "isotropic", "errors": {"grows": "proportional"}},
        {"noise_standard_deviation": share},
    )


def _line(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * t


def _hill(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return E0 + (Emax - E0) / (1 + (K / 10^x)^n) for z = (K, n, E0, Emax)."""
    k, n, low, high = (z[:, i : i + 1] for i in range(4))
    return low + (high - low) / (1 + (k / 10**x) ** n)


def _absorbed(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Return the concentration after a dose of 1 by mouth, for z = (ka, k, V)."""
    ka, k, volume = (z[:, i : i + 1] for i in range(3))
    return ka / (volume * (ka - k)) * (torch.exp(-k * t) - torch.exp(-ka * t))


def _lines(noise: Noise) -> RightModel:
    return RightModel(
        f"lines, {noise.told}",
        (0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
        _line,
        {"a": 8.0, "b": -0.5},
        {"a": 1.0, "b": 0.3},
        noise,
        "normal",
    )


def _hills(noise: Noise) -> RightModel:
    return RightModel(
        f"Hill curves with two common parameters, {noise.told}",
        (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0),
        _hill,
        {"K": float(np.log(3)), "n": float(np.log(1.2)), "E0": 0.0, "Emax": float(np.log(10))},
        {"K": 0.5, "n": 0.25},
        noise,
        "lognormal",
    )


COVERED = {
    "lines": _lines(independent(0.5)),
    "lines_autoregressive": _lines(autoregressive(0.5, 0.5)),
    "lines_proportional": _lines(proportional(0.08)),
    "hill": _hills(independent(0.4)),
    "hill_autoregressive": _hills(autoregressive(0.4, 0.5)),
    "hill_proportional": _hills(proportional(0.08)),
}
"""Models whose intervals are compared with the truth."""
RIGHT = {
    "lines": COVERED["lines_autoregressive"],
    "hill": COVERED["hill"],
    "absorption": RightModel(
        "absorption and decay, proportional noise",
        (0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 12.0),
        _absorbed,
        {"ka": 0.4, "k": -2.0, "V": 0.5},
        {"k": 0.3, "V": 0.25},
        proportional(0.1),
        "lognormal",
    ),
}
"""Right models by name, beside the population "none" of the mistakes."""
