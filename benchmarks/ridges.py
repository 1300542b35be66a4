"""Answers by the default number of draws and by more of them, where the likelihood has a ridge.

    python -m benchmarks.ridges [NAME ...] [--seeds 5] [--more 512]

On a ridge, systems with unlike parameters fit alike, and a few draws of each system would decide
the answer. Each model is fitted by default and with more draws of each system, and the two answers
are compared in standard errors. ``docs/tables/data/ridges.csv`` has a row for each model, with the
commit and the machine; rows of other models stay.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import popinv
from benchmarks.measured_rows import write_rows

__all__ = ["RIDGES", "Ridge", "compared"]


@dataclass(frozen=True)
class Ridge:
    """Parameters z (lognormal), of which the observations show a combination best.

    Attributes
    ----------
    told : str
    at : ndarray of shape (d_y,)
        Times, doses or places.
    signal : callable
        Signals (n, d_y) of parameters (n, d_z).
    medians, deviations : tuple of float
    noise : float
    count : int
    """

    told: str
    at: np.ndarray
    signal: Callable[[torch.Tensor], torch.Tensor]
    medians: tuple[float, ...]
    deviations: tuple[float, ...]
    noise: float
    count: int

    def drawn(self, seed: int) -> np.ndarray:
        """Return observations (N, d_y)."""
        rng, size = np.random.default_rng(seed), len(self.medians)
        logs = np.log(self.medians) + self.deviations * rng.standard_normal((self.count, size))
        with torch.no_grad():
            signal = self.signal(torch.from_numpy(np.exp(logs))).numpy()
        return np.asarray(signal + self.noise * rng.standard_normal(signal.shape))

    def fitted(self, seed: int, **more: Any) -> Any:
        """Return the answer for the data of a seed."""
        start = {
            f"z{i}": {"mean": 1.2 * median, "standard_deviation": 0.5 * median}
            for i, median in enumerate(self.medians, start=1)
        }
        law = {"kind": "lognormal", "start": start}
        noise = {"kind": "isotropic", "start": {"standard_deviation": 1.5 * self.noise}}
        return popinv.fit(
            self.drawn(seed), self.signal, law=law, noise=noise, seed=seed, tests=False,
            progress=False, estimator="likelihood", **more,
        )  # fmt: skip


def _times(*at: float) -> tuple[np.ndarray, torch.Tensor]:
    places = np.array(at, dtype=float)
    return places, torch.from_numpy(places)


def _product() -> Ridge:
    at, t = _times(0.5, 1, 1.5, 2)
    return Ridge(
        "a product of two parameters, and one of them in a small term",
        at,
        lambda z: z[:, :1] * z[:, 1:] * t + 0.1 * z[:, :1] * t**2,
        (1.0, 2.0), (0.4, 0.3), 0.3, 100,
    )  # fmt: skip


def _hill() -> Ridge:
    at, x = _times(0.3, 1, 3, 10, 30)
    return Ridge(
        "Hill curves with all parameters varying",
        at,
        lambda z: z[:, :1] / (1 + (z[:, 1:2] / x) ** z[:, 2:]),
        (10.0, 8.0, 1.3), (0.3, 0.5, 0.25), 0.6, 60,
    )  # fmt: skip


def _saturation() -> Ridge:
    at, x = _times(0.5, 1, 2, 3)
    return Ridge(
        "saturation, seen at small doses",
        at,
        lambda z: z[:, :1] * x / (z[:, 1:] + x),
        (10.0, 5.0), (0.3, 0.4), 0.3, 100,
    )  # fmt: skip


def _absorption() -> Ridge:
    at, t = _times(0.5, 1, 2, 4, 8)
    return Ridge(
        "absorption and elimination at near rates",
        at,
        lambda z: z[:, 2:] * z[:, :1] / (z[:, :1] - 0.999 * z[:, 1:2])
        * (torch.exp(-0.999 * z[:, 1:2] * t) - torch.exp(-z[:, :1] * t)),
        (1.0, 0.6, 4.0), (0.3, 0.3, 0.3), 0.15, 80,
    )  # fmt: skip


def _exponentials() -> Ridge:
    at, t = _times(*np.linspace(0.2, 6, 10))
    return Ridge(
        "two exponentials with near rates",
        at,
        lambda z: z[:, :1] * torch.exp(-z[:, 1:2] * t) + z[:, 2:3] * torch.exp(-z[:, 3:] * t),
        (1.0, 0.4, 1.0, 1.0), (0.3, 0.2, 0.3, 0.2), 0.05, 60,
    )  # fmt: skip


def _compartments() -> Ridge:
    at, t = _times(0.1, 0.3, 0.6, 1, 2, 4, 8, 12)

    def signal(z: torch.Tensor) -> torch.Tensor:
        k, out, back, volume = (z[:, i : i + 1] for i in range(4))
        total = k + out + back
        root = torch.sqrt(total**2 - 4 * k * back)
        fast, slow = (total + root) / 2, (total - root) / 2
        decay = (fast - back) * torch.exp(-fast * t) + (back - slow) * torch.exp(-slow * t)
        return 10 / volume * decay / (fast - slow)

    medians, deviations = (0.4, 0.7, 0.5, 2.0), (0.3, 0.3, 0.3, 0.2)
    return Ridge("two compartments", at, signal, medians, deviations, 0.15, 60)


def _rods() -> Ridge:
    at, x = _times(*np.linspace(0.02, 0.98, 30))
    n = torch.arange(1, 40, 2, dtype=torch.float64)
    waves = 4 * torch.sin(torch.pi * n * x[:, None]) / (torch.pi * n)

    def signal(z: torch.Tensor) -> torch.Tensor:
        decay = torch.exp(-z[:, :1] * n**2 * torch.pi**2 * 0.05)
        return z[:, 2:] + z[:, 1:2] * (decay @ waves.T)

    return Ridge(
        "cooling rods", at, signal, (1.0, 4.48, 1.22), (0.35, 0.25, 0.2), 0.15, 200
    )  # fmt: skip


RIDGES = {
    "product": _product(),
    "hill": _hill(),
    "saturation": _saturation(),
    "absorption": _absorption(),
    "exponentials": _exponentials(),
    "compartments": _compartments(),
    "rods": _rods(),
}
"""The models by name."""


def compared(name: str, seed: int, more: int) -> dict[str, float]:
    """Return the differences of two answers and the seconds of both.

    The largest difference of a parameter in its standard error, and the largest relative difference
    of a standard error; parameters without a standard error in one of the answers are left out.
    """
    found, seconds = [], []
    for draws in ({}, {"polish": {"draws": more}}):
        begun = time.process_time()
        result = RIDGES[name].fitted(seed, **draws)
        seconds.append(time.process_time() - begun)
        found.append(result.summary())
    one, other = found
    both = one["standard_error"].notna() & other["standard_error"].notna()
    one, other = one[both], other[both]
    moved = ((one["estimate"] - other["estimate"]) / other["standard_error"]).abs()
    ratio = (one["standard_error"] / other["standard_error"] - 1).abs()
    return {
        "difference": float(moved.max()),
        "of errors": float(ratio.max()),
        "seconds": seconds[0],
        "seconds with more": seconds[1],
    }


def main() -> None:
    """Measure, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RIDGES)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--more", type=int, default=512, help="draws of each system")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in given.names or RIDGES:
        runs = [compared(name, seed, given.more) for seed in range(1, given.seeds + 1)]
        row = {
            "name": name,
            "model": RIDGES[name].told,
            "systems": str(RIDGES[name].count),
            "data sets": str(len(runs)),
            "draws": str(given.more),
            "largest difference, standard errors": f"{max(r['difference'] for r in runs):.2f}",
            "largest difference of standard errors": f"{max(r['of errors'] for r in runs):.0%}",
            "seconds": f"{np.median([r['seconds'] for r in runs]):.0f}",
            "seconds with more draws": f"{np.median([r['seconds with more'] for r in runs]):.0f}",
        }
        print(row, flush=True)
        write_rows("ridges", [row], key="name")


if __name__ == "__main__":
    main()
