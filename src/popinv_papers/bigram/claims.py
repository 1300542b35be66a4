"""The table of claims: what the paper's abstract and main results say, against the exact curves.

Numbers of exact sums have no interval. A row's control is the same measurement with the claimed
thing taken away: another exponent, longer times, the power law without correction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv_papers.bigram import scaling, text_problem
from popinv_papers.bigram.cross_entropy import TARGET
from popinv_papers.bigram.curves import METHODS
from popinv_papers.bigram.scaling import slope, steps_at
from popinv_papers.kit.claims import Claim, Rows, above, below, measured, within

_LIMIT_BOUND = 0.02
_SLOPE_BOUND = 0.1
_TEXT_BOUND = 0.1
_STEPS_BOUND = 0.1
# A share of the most steps within which an exponent counts as the worst.
_WORST_BOUND = 0.01
_STEEP = 1.5
"""The exponent of the claims about exponents above 1."""
OTHERS = (0.5, 0.75, 1.0, 1.25, _STEEP)
"""Exponents whose steps are wanted at large vocabularies."""
_ABSTRACT = Rows("headline", "paper", "abstract")
_OWN = Rows("headline", "this package")


def claims(result: xr.Dataset) -> list[Claim]:
    """Return the rows, from the result of :mod:`popinv_papers.bigram.check`."""
    return [
        *_worst_case(result),
        *_rates(result),
        *_leads(result),
        *_limits(result),
        *_cross_entropy(result),
        *_text(result),
        *_correction(result),
        *_advice(result),
    ]


@dataclass(frozen=True)
class _Place:
    """A vocabulary and an accuracy on the map."""

    result: xr.Dataset
    size: int
    target: float

    def __str__(self) -> str:
        return f"{self.size} symbols, to {self.target:g} of the loss"

    def steps(self, method: str, exponent: float) -> float:
        return steps_at(self.result, method, exponent, self.size, self.target)

    def ratio(self, exponent: float) -> float:
        """Return the ratio of the steps of gradient descent and sign descent."""
        return self.steps("gradient", exponent) / max(1.0, self.steps("sign", exponent))


def _worst_case(result: xr.Dataset) -> Iterator[Claim]:
    share = result["worst_steps_at"] / result["worst_steps"]
    for target in map(float, result["target"].values):
        for size in map(float, result["worst_size"].values):
            here = {"target": target, "worst_size": size}
            exponent = float(result["worst_exponent"].sel(here))
            at_one, at_steep = (
                float(share.sel(here | {"worst_other": other})) for other in (1.0, _STEEP)
            )
            yield _ABSTRACT.row(
                f"exponent 1 is the worst case of gradient descent ({size:g} symbols, to "
                f"{target:g} of the loss): its steps over the most at any exponent from 0.25 to 2",
                1.0,
                at_one,
                within(1.0, bound=_WORST_BOUND),
                (f"exponent {_STEEP:g} instead of 1", at_steep),
                told=f"Exponent {exponent:.4g} takes most steps.",
            )


def _rates(result: xr.Dataset) -> Iterator[Claim]:
    theorem = "Theorem 3.1 and Definition 4.4"
    for target in map(float, result["target"].values):
        rows = (
            ("gradient", 1.0, 1 - target, 1.25, "abstract, Theorem 3.1"),
            ("gradient", 0.5, 0.5, 0.75, theorem),
            ("gradient", 0.75, 0.75, 0.5, theorem),
            ("gradient", _STEEP, 0.0, 1.0, theorem),
            ("sign", 1.0, 0.5, 0.25, "abstract, Theorem 4.5"),
            ("sign", 0.75, 0.5, 0.25, theorem),
        )
        for method, exponent, power, other, where in rows:
            found = {
                f"from 1000 to {int(result['map_size'][-1])} symbols": [
                    slope(result, method, a, target) for a in (exponent, other)
                ]
            }
            if method == "gradient":
                first, last = result["worst_size"].values[-2:]
                found[f"from {first:g} to {last:g} symbols"] = [
                    _large_slope(result, a, target) for a in (exponent, other)
                ]
            for sizes, (ours, without) in found.items():
                yield Rows("headline", "paper", where).row(
                    f"exponent {exponent:g}: steps of {method} descent to {target:g} of the loss "
                    f"grow with the vocabulary to this power, {sizes}",
                    power,
                    ours,
                    within(power, bound=_SLOPE_BOUND),
                    (f"exponent {other:g}", without),
                )


def _large_slope(result: xr.Dataset, exponent: float, target: float) -> float:
    """Return b of steps ~ size^b of gradient descent between the two largest vocabularies."""
    steps = result["worst_steps_at"].sel(worst_other=exponent, target=target).values[-2:]
    return float(np.diff(np.log(steps))[0] / np.diff(np.log(result["worst_size"].values[-2:]))[0])


def _leads(result: xr.Dataset) -> Iterator[Claim]:
    for target in map(float, result["target"].values):
        place = _Place(result, int(result["map_size"][-1]), target)
        at_one, at_steep = place.ratio(1.0), place.ratio(_STEEP)
        yield _ABSTRACT.row(
            f"exponent 1: sign descent is faster ({place}): steps of gradient descent over its own",
            "above 1",
            at_one,
            above(1),
            (f"exponent {_STEEP:g}", at_steep),
        )
        many = (
            ""
            if at_steep < 1
            else (
                f"{place.steps('gradient', _STEEP):.0f} steps against "
                f"{place.steps('sign', _STEEP):.0f}, by exact sums. In the limit gradient "
                "descent needs no more steps as the vocabulary grows, but many for this accuracy."
            )
        )
        yield Rows("headline", "paper", "abstract, informal theorem").row(
            f"exponent {_STEEP:g}: sign descent does not pay ({place}): steps of gradient descent "
            "over its own",
            "below 1",
            at_steep,
            below(1),
            ("exponent 1", at_one),
            told=many,
        )
    size, targets = 10**4, map(float, result["target"].values)
    if size in result["map_size"].values:
        places = [_Place(result, size, target) for target in targets]
        yield Rows("headline", "paper", "prose").row(
            "exponent 1: sign descent is 100 times faster at 10^4 symbols (largest ratio of the "
            "steps to the same relative loss)",
            "100",
            max(place.ratio(1.0) for place in places),
            above(100),
            (f"exponent {_STEEP:g}", max(place.ratio(_STEEP) for place in places)),
            told="100 is d against the root of d without their constants. Accuracies from 0.3 to "
            "0.03 were tried.",
        )


def _limits(result: xr.Dataset) -> Iterator[Claim]:
    largest = int(result["collapse_size"].max())
    for method, where in (("gradient", "Theorem 3.1"), ("sign", "Theorem 4.5")):
        for exponent in np.unique(result["collapse_exponent"].values):
            slow = scaling.is_critical(method, exponent)
            way = "extrapolated in 1/log(d) from" if slow else "at"
            yield Rows("headline", "paper", where).row(
                f"{method} descent, exponent {exponent:g}: curves fall together in scaled time "
                f"(largest gap to the limit, {way} {largest} symbols)",
                0.0,
                scaling.gap(result, method, exponent),
                below(_LIMIT_BOUND),
                (
                    f"time longer by d^{scaling.STRETCH:g}",
                    scaling.gap(result, method, exponent, stretched=True),
                ),
            )


def _cross_entropy(result: xr.Dataset) -> Iterator[Claim]:
    sizes = np.log(result["cross_entropy_size"].values)
    slopes = {
        method: float(
            np.polyfit(sizes, np.log(result[f"cross_entropy_steps_{method}"].values), 1)[0]
        )
        for method in METHODS
    }
    for method, power, other in (("gradient", 1 - TARGET, "sign"), ("sign", 0.0, "gradient")):
        yield Rows("headline", "paper", "Figure 8").row(
            f"cross-entropy, exponent 1: steps of {method} descent to {TARGET:g} of the loss grow "
            "with the vocabulary to this power",
            power,
            slopes[method],
            within(power, bound=_SLOPE_BOUND),
            (f"{other} descent", slopes[other]),
            missed="A few hundred symbols at most, as the cost grows with their cube.",
        )


def _text(result: xr.Dataset) -> Iterator[Claim]:
    for vocabulary in result["vocabulary"].values:
        here = result.sel(vocabulary=vocabulary)
        yield Rows("headline", "paper", "Figure 3").row(
            f"frequencies of {vocabulary} tokens of text follow Zipf's law (exponent, over "
            "disjoint fifths of the texts)",
            1.0,
            here["part_exponent"].values,
            within(1.0, bound=0.3),
            ("equally frequent tokens", here["uniform_exponent"].values),
            missed="A small vocabulary of byte pairs has frequent tokens only.",
        )
        for method in METHODS:
            yield _text_curve(here, method, int(vocabulary))


def _text_curve(here: xr.Dataset, method: str, vocabulary: int) -> Claim:
    """Return the row of a curve on text.

    Independent tokens of the same law and number are a control that must succeed: where they miss
    the bound too, the length of the text is what fails.
    """
    independent = measured(here[f"independent_gap_{method}"].values)
    told = f"{independent.mean:.3g} ({independent.low:.3g} to {independent.high:.3g})"
    short = (
        ""
        if below(_TEXT_BOUND).holds(independent)
        else f"{independent.seeds} draws of as many independent tokens of the fitted law miss it "
        f"by {told}: the text is too short to tell. More text would."
    )
    return Rows("headline", "paper", "Figure 2, left").row(
        f"{method} descent on {vocabulary} tokens of text follows the curve of the fitted power "
        "law (largest gap of the relative loss)",
        0.0,
        text_problem.gap(here, method),
        below(_TEXT_BOUND),
        ("no descent: the loss stays at 1", float(np.abs(here[method] - 1.0).max())),
        told=""
        if short
        else f"As many independent tokens of the fitted law miss it by {told} only.",
        too_far=short,
    )


def _correction(result: xr.Dataset) -> Iterator[Claim]:
    for method in METHODS:
        for target in map(float, result["target"].values):
            here = result.sel(descent=method, target=target)
            counted = float(here["counted_steps"].mean())
            yield _OWN.row(
                f"with the correction for sparse counts, steps of {method} descent to {target:g} "
                f"of the loss on a withheld half of the text ({counted:.3g} are counted): "
                "predicted over counted",
                1.0,
                here["corrected_ratio"].values,
                within(1.0, bound=_STEPS_BOUND),
                ("without correction: the half's fitted power law", here["law_ratio"].values),
                missed="Conditional frequencies are taken from equally frequent contexts of the "
                "other half.",
            )


def _advice(result: xr.Dataset) -> Iterator[Claim]:
    by_draw = ("advice_exponent", "target")
    yield _OWN.row(
        "an advice on a study, if one is given, is right on fresh series (share of trials)",
        1.0,
        result["advice_right"].mean(by_draw).values,
        above(0.95),
        (
            "the law's prediction without its check",
            result["predicted_right"].mean(by_draw).values,
        ),
        told=f"An advice was given in {float(result['advised'].mean()):.0%} of the trials.",
    )
