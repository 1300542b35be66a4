"""The test problem: every formula of ``theory`` beside simulated paths.

Each part yields comparisons: a name, what theory says, what was simulated, and the standard error
of that. Convergence as epsilon falls is part of the claim, so that each has a tolerance of its own
on top of the Monte-Carlo error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from popinv.downstream.claims import Claim
from popinv.downstream.sgd_dynamics import theory
from popinv.downstream.sgd_dynamics.landscapes import (
    Landscape,
    double_well,
    piecewise,
    quartic_maximum,
    sharp_maximum,
)
from popinv.downstream.sgd_dynamics.noises import noise
from popinv.downstream.sgd_dynamics.simulation import Runs, simulate
from popinv.store.variables import variable

__all__ = ["SIZES", "Comparison", "Size", "claims", "comparisons", "metrics", "three_wells"]

# Long enough for every path to end; a path that does not would be seen in its side.
_FOREVER = 10**9
# Standard errors within which a simulated number may differ by chance: one in 10,000 does not.
_CHANCE = 4.0


@dataclass(frozen=True)
class Size:
    """The numbers of paths, and the learning rates; the quartic's slope is between two."""

    paths: int
    sharp_paths: int
    sticking_rates: tuple[float, ...]
    quartic_rates: tuple[float, float]
    kramers_rates: tuple[float, ...]


SIZES = {
    "workstation": Size(2000, 40_000, (1e-1, 1e-2, 1e-3), (1e-2, 1e-3), (0.15, 0.1)),
    # The paper's own experiments are unknown to us; this is a larger size for the same tables.
    "paper": Size(10_000, 200_000, (1e-1, 1e-2, 1e-3, 1e-4), (1e-3, 3e-4), (0.15, 0.1, 0.08)),
}


@dataclass(frozen=True)
class Comparison:
    """One number, from theory and from simulation.

    Attributes
    ----------
    name : str
        Part of the metric's name.
    words : str
        Words for the table.
    theory, simulated, error : float
        The last is the standard error of the simulated number.
    tolerance : float
        Relative error of the formula that is allowed beside chance, epsilon not being zero.
    """

    name: str
    words: str
    theory: float
    simulated: float
    error: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Return whether the two differ by no more than chance and tolerance explain."""
        allowed = _CHANCE * self.error + self.tolerance * abs(self.theory)
        return abs(self.simulated - self.theory) <= allowed


def comparisons(size: Size, seed: int) -> Iterator[Comparison]:
    """Yield every comparison; takes minutes in workstation size."""
    yield from sticking_times(size, seed)
    yield from quadratic_escapes(size, seed)
    yield from thresholds(size, seed)
    yield from heavy_escapes(size, seed)
    yield from quartic_slope(size, seed)
    yield from sharp_escapes(size, seed)
    yield from kramers(size, seed)
    yield from heavy_exits(size, seed)
    yield from markov_chain(size, seed)


def sticking_times(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare steps from the double well's quadratic maximum to distance 1/2, Gaussian noise."""
    for rate in size.sticking_rates:
        runs = simulate(
            double_well(),
            noise("gaussian"),
            rate,
            0.0,
            _FOREVER,
            size.paths,
            seed,
            f"sticking/{rate:g}",
            (-0.5, 0.5),
        )
        mean, error = runs.mean_steps
        yield Comparison(
            f"sticking_time_quadratic_{rate:g}",
            f"steps from a quadratic maximum to distance 1/2, learning rate {rate:g}",
            theory.double_well_exit_time(rate, 0.5, 1.0),
            mean,
            error,
            min(0.1, 2 * rate**0.5),
        )


def quadratic_escapes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the probability to leave the quadratic maximum upwards, from c sqrt(epsilon/2)."""
    for rate in (1e-2, 1e-3):
        for c in (0.5, 1.0, 2.0):
            start = c * math.sqrt(rate / 2)
            runs = simulate(
                double_well(),
                noise("gaussian"),
                rate,
                start,
                _FOREVER,
                size.paths,
                seed,
                f"quadratic/{rate:g}/{c:g}",
                (-0.7, 0.7),
            )
            share, error = runs.share_up
            yield Comparison(
                f"escape_quadratic_{rate:g}_{c:g}",
                f"probability to leave a quadratic maximum upwards from {c:g} deviations, "
                f"learning rate {rate:g}",
                theory.escape_probability_quadratic(start, rate, 1.0),
                share,
                error,
                0.02,
            )


def thresholds(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the share near the own minimum at n = 1.5 log(1/epsilon)/epsilon."""
    rate = 1e-3
    steps = round(1.5 * math.log(1 / rate) / rate)
    for power in (0.25, 0.5, 0.75):
        start = rate**power
        runs = simulate(
            double_well(),
            noise("gaussian"),
            rate,
            start,
            steps,
            size.paths,
            seed,
            f"threshold/{power:g}",
        )
        share, error = near_one(runs)
        yield Comparison(
            f"convergence_from_power_{power:g}",
            f"probability to converge to the basin's minimum from epsilon^{power:g} off the "
            f"maximum, learning rate {rate:g}",
            theory.escape_probability_quadratic(start, rate, 1.0),
            share,
            error,
            0.02,
        )


def near_one(runs: Runs) -> tuple[float, float]:
    """Share of the paths that end on the positive side, and its standard error."""
    share, count = float((runs.final > 0).mean()), len(runs.final)
    return share, math.sqrt(max(share * (1 - share), 1 / count) / count)


def heavy_escapes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare that under Pareto noise of infinite variance, in units of its sticking radius."""
    rate, scale, alpha = 1e-3, 0.03, 1.5
    steps = round(1.5 * math.log(1 / rate) / rate)
    for multiple in (0.3, 1.0, 3.0, 10.0):
        start = multiple * scale * rate ** (1 - 1 / alpha)
        runs = simulate(
            double_well(),
            noise("pareto", scale, alpha),
            rate,
            start,
            steps,
            size.paths,
            seed,
            f"heavy/{multiple:g}",
        )
        share, error = near_one(runs)
        yield Comparison(
            f"escape_heavy_{multiple:g}",
            f"probability to leave a quadratic maximum upwards, infinite variance (1.5), from "
            f"{multiple:g} radii",
            theory.escape_probability_heavy(start, rate, alpha, scale),
            share,
            error,
            0.02,
        )


def quartic_slope(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the sticking time's exponent at a quartic maximum."""
    means = []
    for rate in size.quartic_rates:
        runs = simulate(
            quartic_maximum(),
            noise("gaussian"),
            rate,
            0.0,
            _FOREVER,
            size.paths,
            seed,
            f"quartic/{rate:g}",
            (-0.5, 0.5),
        )
        means.append((rate, *runs.mean_steps))
    (coarse, time_coarse, error_coarse), (fine, time_fine, error_fine) = means
    distance = math.log(fine / coarse)
    slope = math.log(time_fine / time_coarse) / distance
    error = math.hypot(error_fine / time_fine, error_coarse / time_coarse) / abs(distance)
    yield Comparison(
        "sticking_slope_quartic",
        "power of the learning rate in the steps at a quartic maximum",
        -theory.sticking_exponent(2, 3),
        slope,
        error,
        0.05 / 1.5,
    )


def sharp_escapes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the probability to leave a sharp maximum upwards, Laplace noise, at two rates."""
    for right, left, y in (
        (1, 0.5, 0),
        (1, 0.5, 1),
        (1, 0.5, -1),
        (0.5, 0.5, 0),
        (0.5, 0.5, 2),
        (0.2, 0.1, 0),
        (2, 0.5, 0),
        (2, 0.5, -2),
    ):
        exact = theory.escape_probability_sharp_laplace(y, left, right)
        # So far out that a return has a probability below 1e-6.
        far = 16 / min(left, right) + 40
        for rate in (0.1, 0.001) if (right, left) == (1, 0.5) else (0.001,):
            runs = simulate(
                sharp_maximum(left, right),
                noise("laplace"),
                rate,
                y * rate,
                _FOREVER,
                size.sharp_paths,
                seed,
                f"sharp/{right:g}/{left:g}/{y:g}/{rate:g}",
                (-far * rate, far * rate),
            )
            share, error = runs.share_up
            yield Comparison(
                f"escape_sharp_{right:g}_{left:g}_{y:g}_rate_{rate:g}",
                f"probability to leave a sharp maximum upwards, slopes {right:g} and {left:g}, "
                f"from {y:g} learning rates off, learning rate {rate:g}",
                exact,
                share,
                error,
                0.0,
            )


def kramers(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare steps from one well of the double well into the other, Gaussian noise."""
    paths = max(100, size.paths // 5)
    for rate in size.kramers_rates:
        runs = simulate(
            double_well(),
            noise("gaussian"),
            rate,
            1.0,
            _FOREVER,
            paths,
            seed,
            f"kramers/{rate:g}",
            (-0.5, np.inf),
        )
        mean, error = runs.mean_steps
        yield Comparison(
            f"exit_time_gaussian_{rate:g}",
            f"steps over the barrier under Gaussian noise, learning rate {rate:g}",
            theory.kramers_exit_time(rate, 1.0, 0.25, 2.0, 1.0),
            mean,
            error,
            0.15,
        )


def heavy_exits(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare steps out of a well of the double well under Pareto noise: one jump does it."""
    paths, alpha, scale = max(200, size.paths // 4), 1.5, 0.1
    for rate in (0.1, 0.03, 0.01):
        runs = simulate(
            double_well(),
            noise("pareto", scale, alpha),
            rate,
            1.0,
            _FOREVER,
            paths,
            seed,
            f"heavy_exit/{rate:g}",
            (0.0, np.inf),
        )
        mean, error = runs.mean_steps
        yield Comparison(
            f"exit_time_heavy_{rate:g}",
            f"steps out of a well under noise of infinite variance (1.5), learning rate {rate:g}",
            theory.heavy_exit_time(rate, alpha, scale, down=1.0),
            mean,
            error,
            0.15,
        )


def three_wells() -> Landscape:
    """Minima at -2, 0 and 1, maxima at -1.2 and 0.6: a slope of straight pieces of steepness 2."""
    zeros = [-2.0, -1.2, 0.0, 0.6, 1.0]
    breaks = [(a + b) / 2 for a, b in itertools.pairwise(zeros)]
    signs = [1, -1, 1, -1, 1]
    pieces = [[-2 * s * z, 2 * s] for s, z in zip(signs, zeros, strict=True)]
    return piecewise(breaks, pieces)


def markov_chain(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare which way paths leave the middle of three wells, heavy tails: the rates' share."""
    rates = theory.markov_rates([-2.0, 0.0, 1.0], [-1.2, 0.6], 1.5)
    runs = simulate(
        three_wells(),
        noise("pareto", 0.03, 1.5),
        0.1,
        0.0,
        _FOREVER,
        max(400, size.paths),
        seed,
        "markov",
        (-1.2, 0.6),
    )
    share, error = runs.share_up
    yield Comparison(
        "markov_share_right",
        "probability to leave the middle of three wells to the right, infinite variance (1.5)",
        rates[1, 2] / -rates[1, 1],
        share,
        error,
        0.03,
    )


def result_dataset(rows: list[Comparison]) -> xr.Dataset:
    """Return the comparisons as a Dataset along ``comparison``."""
    return xr.Dataset(
        {
            "theory": variable("comparison", [c.theory for c in rows], "by theory"),
            "simulated": variable("comparison", [c.simulated for c in rows], "simulated"),
            "error": variable("comparison", [c.error for c in rows], "standard error of that"),
        },
        coords={
            "comparison": variable(
                "comparison", np.array([c.name for c in rows], dtype=np.str_), "what is compared"
            )
        },
    )


def metrics(rows: list[Comparison]) -> dict[str, Any]:
    """Return theory and simulation of every comparison, flat."""
    compared: dict[str, float] = {}
    for c in rows:
        simulated = "" if c.name == "sticking_slope_quartic" else "_simulated"
        compared |= {
            f"{c.name}{simulated}": c.simulated,
            f"{c.name}_theory": c.theory,
            f"{c.name}_standard_error": c.error,
        }
    change: dict[str, float] = {}
    at = {c.name: c for c in rows}
    coarse, fine = (at.get(f"escape_sharp_1_0.5_1_rate_{rate:g}") for rate in (0.1, 0.001))
    if coarse and fine:
        change = {
            "escape_sharp_change_with_rate": coarse.simulated - fine.simulated,
            "escape_sharp_change_with_rate_standard_error": math.hypot(coarse.error, fine.error),
        }
    return {
        **compared,
        **change,
        "comparisons": len(rows),
        "comparisons_agreeing": sum(c.agrees for c in rows),
    }


def claims(rows: list[Comparison]) -> list[Claim]:
    """Return the table of claims; all formulas are reconstructions."""
    return [
        Claim(
            f"{c.words} (within {_CHANCE:g} standard errors and {100 * c.tolerance:.2g} %)",
            "reconstruction",
            c.theory,
            c.simulated,
            c.agrees,
        )
        for c in rows
    ]
