"""Time scales near a maximum: convergence from its side, and sticking on its top."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from popinv_papers.kit.claims import above, below, within
from popinv_papers.sgd_dynamics import theory
from popinv_papers.sgd_dynamics.exit_equation import mean_exit_steps
from popinv_papers.sgd_dynamics.landscapes import (
    Landscape,
    double_well,
    quartic_maximum,
    sharp_maximum,
)
from popinv_papers.sgd_dynamics.measuring import BATCHES, Comparison, Size, run, slopes
from popinv_papers.sgd_dynamics.noises import Noise, noise

ALPHA, SCALE = 1.5, 0.03
_LEVEL = 0.5


def convergence(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the share within 1/2 of the basin's minimum after n = c log(1/epsilon)/epsilon."""
    rate = size.sticking_rates[1]

    def arrived(law: Noise, power: float, c: float = 1.5) -> np.ndarray:
        stage = f"convergence/{law.kind}/{power:g}/{c:g}"
        steps = round(c * math.log(1 / rate) / rate)
        runs = run(double_well(), law, rate, rate**power, size.paths, seed, stage, steps=steps)
        return runs.share_ending(0.5, 1.5, BATCHES)

    normal, heavy = noise("gaussian"), noise("pareto", SCALE, ALPHA)
    in_time = arrived(normal, 1 / 4)
    start = "start at epsilon^(3/4), within the sticking radius"
    claim = (
        "Off a maximum the descent reaches its basin's minimum within 1.5 log(1/epsilon)/epsilon "
        "steps: share of the paths from epsilon^{} that are there, {}"
    )
    yield Comparison(
        "convergence_finite_variance",
        claim.format("(1/4)", "finite variance"),
        "tends to 1",
        in_time,
        above(0.99),
        (start, arrived(normal, 3 / 4)),
    )
    yield Comparison(
        "convergence_infinite_variance",
        claim.format("(1/6)", "infinite variance (index 1.5)"),
        "tends to 1",
        arrived(heavy, 1 / 6),
        above(0.99),
        (start, arrived(heavy, 3 / 4)),
    )
    yield Comparison(
        "convergence_too_soon",
        "That is the time scale: share that is there after a fifteenth of these steps, finite "
        "variance",
        "tends to 0",
        arrived(normal, 1 / 4, 0.1),
        below(0.01),
        ("all of the steps", in_time),
    )


def _times(
    landscape: Landscape, law: Noise, size: Size, rates: tuple[float, ...], seed: int, stage: str
) -> np.ndarray:
    """Return the mean steps from 0 to distance 1/2, shape (rates, batches)."""
    ends = (-_LEVEL, _LEVEL)
    return np.array(
        [
            run(landscape, law, rate, 0.0, size.paths, seed, f"{stage}/{rate:g}", ends).mean_steps(
                BATCHES
            )
            for rate in rates
        ]
    )


def sticking_slopes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare how epsilon times the sticking time grows with log(1/epsilon)."""
    rates = np.array(size.sticking_rates)
    laws = {
        "quadratic_finite": (double_well(), noise("gaussian")),
        "quadratic_heavy": (double_well(), noise("pareto", SCALE, ALPHA)),
        "sharp": (sharp_maximum(1.0, 1.0), noise("laplace")),
    }
    found = {}
    for name, (landscape, law) in laws.items():
        times = _times(landscape, law, size, size.sticking_rates, seed, f"slope/{name}")
        found[name] = slopes(np.log(1 / rates), rates[:, None] * times)
    words = "slope of epsilon times the steps to distance 1/2 against log(1/epsilon)"
    heavy = ("noise of infinite variance (index 1.5)", found["quadratic_heavy"])
    normal = ("normal noise", found["quadratic_finite"])
    yield Comparison(
        "sticking_slope_quadratic",
        f"Near a quadratic maximum the descent lingers, finite variance: {words}",
        1 / 2,
        found["quadratic_finite"],
        within(1 / 2, bound=0.05),
        heavy,
        where="abstract; constant reconstructed",
    )
    yield Comparison(
        "sticking_slope_quadratic_heavy",
        f"It does for a shorter time with infinite variance (index 1.5): {words}",
        1 - 1 / ALPHA,
        found["quadratic_heavy"],
        within(1 - 1 / ALPHA, bound=0.05),
        normal,
        where="abstract; constant reconstructed",
    )
    yield Comparison(
        "sticking_slope_sharp",
        f"A sharp maximum does not hold it: {words}",
        0.0,
        found["sharp"],
        within(0.0, bound=0.05),
        ("a quadratic maximum", found["quadratic_finite"]),
    )


def quartic_slope(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the power of the learning rate in the sticking time at a quartic maximum."""
    rates = np.array(size.quartic_rates)
    # The sticking radius must be far below 1/2; with a deviation of 1 it is 0.3.
    laws = {"finite": noise("gaussian", 0.2), "heavy": noise("pareto", SCALE, ALPHA)}
    found = {}
    for name, law in laws.items():
        times = _times(quartic_maximum(), law, size, size.quartic_rates, seed, f"quartic/{name}")
        found[name] = slopes(np.log(rates), np.log(times))
    words = "power of epsilon in the steps to distance 1/2"
    for name, a, change in (
        ("finite", 2.0, ("noise of infinite variance (index 1.5)", found["heavy"])),
        ("heavy", ALPHA, ("normal noise", found["finite"])),
    ):
        kind = "finite variance" if a == 2 else "infinite variance (index 1.5)"
        exponent = -theory.sticking_exponent(a, 3)
        yield Comparison(
            f"sticking_slope_quartic_{name}",
            f"Near a maximum of high order it lingers longer; quartic, {kind}: {words}",
            exponent,
            found[name],
            within(exponent, bound=0.05),
            change,
            source="quoted by others",
            where="summary; exponent reconstructed",
        )


def sticking_times(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the steps from the top of the double well to distance 1/2, normal noise."""
    law = noise("gaussian")
    for rate in (0.1, *size.sticking_rates[:2]):
        (found,) = _times(double_well(), law, size, (rate,), seed, "sticking")
        expected = theory.double_well_exit_time(rate, _LEVEL, 1.0)
        yield Comparison(
            f"sticking_time_{rate:g}",
            f"steps from a quadratic maximum to distance 1/2, normal noise, rate {rate:g}",
            expected,
            found,
            within(expected, share=0.05),
            part="reconstruction",
            source="reconstruction",
            where="formula for small rates",
            why="" if rate < 0.1 else "The formula is for small rates; the next row has no limit.",
        )
        if rate == 0.1:
            exact = mean_exit_steps(double_well(), law, rate, 0.0, (-_LEVEL, _LEVEL), 0.005)
            yield Comparison(
                f"sticking_time_equation_{rate:g}",
                f"the same at rate {rate:g}, by the integral equation",
                exact,
                found,
                within(exact, share=0.05),
                part="reconstruction",
                source="this package",
                where="integral equation",
            )
