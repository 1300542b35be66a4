"""Changes of basin: exit times, and where paths go."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from popinv_papers.kit.claims import within
from popinv_papers.sgd_dynamics import theory
from popinv_papers.sgd_dynamics.exit_equation import mean_exit_steps
from popinv_papers.sgd_dynamics.landscapes import Landscape, double_well, piecewise
from popinv_papers.sgd_dynamics.measuring import BATCHES, Comparison, Size, run, slopes
from popinv_papers.sgd_dynamics.noises import Noise, noise
from popinv_papers.sgd_dynamics.simulation import Runs

_ALPHA, _SCALE = 1.5, 0.1
# A path has changed basins if it is well on the other side of the maximum at 0.
_BEYOND = -0.5


def exit_times(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare steps from the double well's minimum at 1 into the other basin."""
    well = double_well()
    normal, heavy = noise("gaussian"), noise("pareto", _SCALE, _ALPHA)

    def steps(law: Noise, rate: float, end: float = _BEYOND) -> np.ndarray:
        stage = f"exit/{law.kind}/{rate:g}/{end:g}"
        runs = run(well, law, rate, 1.0, size.exit_paths, seed, stage, (end, np.inf))
        return runs.mean_steps(BATCHES)

    by_normal = {rate: steps(normal, rate) for rate in size.kramers_rates}
    by_heavy = {rate: steps(heavy, rate) for rate in size.heavy_rates}
    cold, warm = np.array(size.kramers_rates), np.array(size.heavy_rates)
    normal_times, heavy_times = (np.array(list(d.values())) for d in (by_normal, by_heavy))
    same_rates = np.array([steps(heavy, rate, 0.0) for rate in size.kramers_rates])
    yield Comparison(
        "exit_slope_normal",
        "With normal noise a basin holds for exponentially long: slope of log(epsilon steps) "
        "against 1/epsilon, twice the height of the barrier",
        0.5,
        slopes(1 / cold, np.log(cold[:, None] * normal_times)),
        within(0.5, bound=0.05),
        (
            "noise of infinite variance (index 1.5)",
            slopes(1 / cold, np.log(cold[:, None] * same_rates)),
        ),
        where="abstract; constant reconstructed",
    )
    yield Comparison(
        "exit_slope_heavy",
        "With infinite variance (index 1.5) it holds for a power of the learning rate: power of "
        "epsilon in the steps",
        -_ALPHA,
        slopes(np.log(warm), np.log(heavy_times)),
        within(-_ALPHA, bound=0.05),
        ("normal noise", slopes(np.log(cold), np.log(normal_times))),
        where="abstract; exponent reconstructed",
    )
    for rate, found in by_normal.items():
        formula = theory.kramers_exit_time(rate, 1.0, 0.25, 2.0, 1.0)
        exact = mean_exit_steps(well, normal, rate, 1.0, (_BEYOND, np.inf), 0.005)
        yield _time("exit_normal", "normal noise", rate, formula, found, 0.1, "Kramers")
        yield _time("exit_normal_equation", "normal noise", rate, exact, found, 0.05)
    words = "noise of infinite variance (index 1.5)"
    for rate, found in by_heavy.items():
        formula = theory.heavy_exit_time(rate, _ALPHA, _SCALE, down=1.0)
        yield _time("exit_heavy", words, rate, formula, found, 0.1, "one jump")
    # Beyond this the noise is too narrow for the nodes.
    rate = size.heavy_rates[0]
    exact = mean_exit_steps(well, heavy, rate, 1.0, (_BEYOND, np.inf), 0.005)
    yield _time("exit_heavy_equation", words, rate, exact, by_heavy[rate], 0.05)
    first = steps(heavy, rate, 0.0)
    formula = theory.heavy_exit_time(rate, _ALPHA, _SCALE, down=1.0)
    exact = mean_exit_steps(well, heavy, rate, 1.0, (0.0, np.inf), 0.005)
    top = f"{words}, to the top of the barrier alone"
    yield _time("exit_heavy_top", top, rate, formula, first, 0.1, "one jump", _TOP)
    yield _time("exit_heavy_top_equation", top, rate, exact, first, 0.05)


_TOP = (
    "A path that lands within the sticking radius of the top often passes it once and returns. The "
    "formula is for changes of basin."
)


def _time(
    name: str,
    words: str,
    rate: float,
    expected: float,
    found: np.ndarray,
    share: float,
    formula: str = "",
    why: str = "",
) -> Comparison:
    by = f"the formula ({formula})" if formula else "the integral equation"
    return Comparison(
        f"{name}_{rate:g}",
        f"steps into the other basin, {words}, rate {rate:g}, by {by}",
        expected,
        found,
        within(expected, share=share),
        part="reconstruction",
        source="reconstruction" if formula else "this package",
        where=formula or "integral equation",
        why=why,
    )


def three_wells() -> Landscape:
    """Minima at -2, 0 and 1, maxima at -1.2 and 0.6: a slope of straight pieces of steepness 2."""
    zeros = [-2.0, -1.2, 0.0, 0.6, 1.0]
    breaks = [(a + b) / 2 for a, b in itertools.pairwise(zeros)]
    signs = [1, -1, 1, -1, 1]
    pieces = [[-2 * s * z, 2 * s] for s, z in zip(signs, zeros, strict=True)]
    return piecewise(breaks, pieces)


def basins(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare which of three wells comes next, by the rates of the Markov chain."""
    rates = theory.markov_rates([-2.0, 0.0, 1.0], [-1.2, 0.6], _ALPHA)
    heavy, normal = noise("pareto", 0.03, _ALPHA), noise("gaussian")

    def runs(law: Noise, start: float, ends: tuple[float, float], rate: float) -> Runs:
        stage = f"basins/{law.kind}/{start:g}"
        return run(three_wells(), law, rate, start, size.exit_paths, seed, stage, ends)

    middle = (-1.2, 0.6)
    expected = rates[1, 2] / -rates[1, 1]
    yield Comparison(
        "markov_share_right",
        "On long scales the descent moves between basins as a Markov chain: share of the paths out "
        "of the middle of three wells that go to the right, infinite variance (index 1.5)",
        expected,
        runs(heavy, 0.0, middle, 0.1).share_up(BATCHES),
        within(expected, bound=0.03),
        ("normal noise", runs(normal, 0.0, middle, 0.1).share_up(BATCHES)),
        source="quoted by others",
        where="summary; rates reconstructed",
    )
    expected = rates[0, 2] / -rates[0, 0]
    left = (-math.inf, -1.2)
    yield Comparison(
        "markov_share_over_a_basin",
        "share of the paths out of the left well that jump over the middle one, infinite variance "
        "(index 1.5)",
        expected,
        runs(heavy, -2.0, left, 0.1).share_ending(0.6, math.inf, BATCHES),
        within(expected, bound=0.03),
        ("normal noise", runs(normal, -2.0, left, 0.1).share_ending(0.6, math.inf, BATCHES)),
        source="quoted by others",
        where="summary; rates reconstructed",
    )
