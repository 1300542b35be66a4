"""The side on which a path leaves a maximum."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from popinv_papers.kit.claims import within
from popinv_papers.sgd_dynamics import recursion, theory
from popinv_papers.sgd_dynamics.landscapes import Landscape, double_well, sharp_maximum
from popinv_papers.sgd_dynamics.measuring import BATCHES, Comparison, Size, run
from popinv_papers.sgd_dynamics.noises import Noise, noise

BOUND = 0.01
"""Largest difference of an escape probability from theory."""

_LEVEL = 0.7
_SCALE = 0.03
# Slopes on the right and on the left of a sharp maximum, and the start in learning rates.
_SHARP = ((1, 0.5, 0), (1, 0.5, 1), (1, 0.5, -1), (0.2, 0.1, 0), (2, 0.5, -2))
_SHARP_HEADLINES = 3


def _share_up(
    landscape: Landscape,
    law: Noise,
    rate: float,
    start: float,
    size: Size,
    seed: int,
    stage: str,
    level: float = _LEVEL,
) -> np.ndarray:
    stage = f"escape/{stage}/{rate:g}/{start:g}"
    runs = run(landscape, law, rate, start, size.share_paths, seed, stage, (-level, level))
    return runs.share_up(BATCHES)


def quadratic_escapes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the probability to leave a quadratic maximum upwards, finite variance."""
    rate = size.share_rate
    wider = noise("gaussian", 1.2)
    for c in (1.0, 0.5, 2.0):
        start = c * math.sqrt(rate / 2)
        expected = theory.escape_probability_quadratic(start, rate, 1.0)
        headline = c == 1
        control = None
        if headline:
            shares = _share_up(double_well(), wider, rate, start, size, seed, "wider")
            control = ("noise 20 % larger", shares)
        yield Comparison(
            f"escape_quadratic_{c:g}",
            f"probability to leave a quadratic maximum upwards from {c:g} deviations off, finite "
            "variance",
            expected,
            _share_up(double_well(), noise("gaussian"), rate, start, size, seed, "normal"),
            within(expected, bound=BOUND),
            control,
            part="headline" if headline else "reconstruction",
            source="a reconstruction of the paper" if headline else "reconstruction",
            where="abstract; formula reconstructed" if headline else "normal limit",
        )


def heavy_escapes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare that under infinite variance with the embedded linear recursion and its limit."""
    rate = size.share_rate
    for alpha in (1.5, 1.8):
        law, start = noise("pareto", _SCALE, alpha), 3 * _SCALE * rate ** (1 - 1 / alpha)
        expected = recursion.escape_probability(start, rate, law)
        shares = _share_up(double_well(), law, rate, start, size, seed, f"pareto{alpha:g}")
        limit = theory.escape_probability_heavy(start, rate, alpha, _SCALE)
        words = (
            "probability to leave a quadratic maximum upwards from 3 s epsilon^(1-1/index) off, "
            f"infinite variance (index {alpha:g})"
        )
        normal = noise("gaussian", _SCALE)
        yield Comparison(
            f"escape_heavy_{alpha:g}",
            words,
            expected,
            shares,
            within(expected, bound=BOUND),
            (
                "normal noise of the same scale",
                _share_up(double_well(), normal, rate, start, size, seed, "light"),
            ),
            where="abstract; formula reconstructed",
        )
        term = recursion.finite_rate_term(rate, alpha)
        yield Comparison(
            f"escape_heavy_limit_{alpha:g}",
            f"{words}, by the stable limit",
            limit,
            shares,
            within(limit, bound=BOUND),
            part="reconstruction",
            source="reconstruction",
            where="stable limit",
            why=f"The first finite-rate term is {term:.2f}, which should be small."
            if abs(expected - limit) > BOUND
            else "",
        )
    others = {
        "student": (noise("student", _SCALE, 1.5), "Student's noise with 1.5 degrees of freedom"),
        "stable": (noise("stable", _SCALE, 1.5), "stable noise of index 1.5"),
        "unbalanced": (
            noise("pareto", _SCALE, 1.5, 0.8),
            "Pareto noise of index 1.5 with 80 % of its tail upwards",
        ),
    }
    for name, (law, words) in others.items():
        start = _SCALE * rate ** (1 - 1 / law.a)
        expected = recursion.escape_probability(start, rate, law)
        yield Comparison(
            f"escape_{name}",
            f"probability to leave a quadratic maximum upwards, {words}",
            expected,
            _share_up(double_well(), law, rate, start, size, seed, name),
            within(expected, bound=BOUND),
            part="reconstruction",
            source="this package",
            where="linear recursion",
        )


def sharp_escapes(size: Size, seed: int) -> Iterator[Comparison]:
    """Compare the probability to leave a sharp maximum upwards, Laplace noise."""
    rate, law = size.share_rate, noise("laplace")

    def shares(right: float, left: float, y: float, rate: float) -> np.ndarray:
        # So far out that a return has a probability below 1e-6.
        far = (16 / min(left, right) + 40) * rate
        return _share_up(
            sharp_maximum(left, right), law, rate, y * rate, size, seed, f"{right}/{left}", far
        )

    for number, (right, left, y) in enumerate(_SHARP):
        expected = theory.escape_probability_sharp_laplace(y, left, right)
        headline = number < _SHARP_HEADLINES
        yield Comparison(
            f"escape_sharp_{right:g}_{left:g}_{y:g}",
            f"probability to leave a sharp maximum upwards, slopes {right:g} and {left:g}, from "
            f"{y:g} learning rates off",
            expected,
            shares(right, left, y, rate),
            within(expected, bound=BOUND),
            ("slopes exchanged", shares(left, right, y, rate)) if headline else None,
            part="headline" if headline else "reconstruction",
            source="a reconstruction of the paper" if headline else "reconstruction",
            where="abstract; formula reconstructed" if headline else "exact for Laplace noise",
        )
