"""The test problem: limits, the map of who wins, real text, cross-entropy, and the advice's trials.

Each part returns a Dataset; the figures, :func:`metrics` and the table of claims read the Datasets
alone, so that they say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from popinv.methods.metrics import flatten
from popinv_papers.bigram import figures, scaling, text_problem
from popinv_papers.bigram.claims import OTHERS, claims
from popinv_papers.bigram.cross_entropy import cross_entropy_steps
from popinv_papers.bigram.curves import METHODS, crossing
from popinv_papers.bigram.scaling import TARGETS, collapse, steps_map, worst_case
from popinv_papers.bigram.series import advice_trials
from popinv_papers.bigram.text_problem import Symbols, predicted_halves, text
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome
from popinv_papers.kit.text import byte_pair_symbols, read_texts

_TEXT_TARGET = 0.1


@dataclass(frozen=True)
class BigramSize:
    """The sizes of the test problem.

    Parameters
    ----------
    limit_sizes, map_sizes : tuple of int
        Vocabularies of the limits and of the map.
    vocabularies : tuple of int
        Tokens that are learnt from the text.
    draws : int
        Draws of independent tokens, of halves of the text, and of the advice's trials.
    """

    limit_sizes: tuple[int, ...]
    map_sizes: tuple[int, ...]
    vocabularies: tuple[int, ...]
    cross_entropy_sizes: tuple[int, ...]
    draws: int = 5


SIZES = {
    "workstation": BigramSize(
        tuple(10**k for k in range(2, 7)),
        tuple(10**k for k in range(2, 6)),
        (1000, 3162, 10000),
        (30, 100, 300),
    ),
    # The paper's largest vocabulary is 31622, which the Brown corpus is too small for: a pair of
    # rare tokens would never be seen.
    "paper": BigramSize(
        tuple(10**k for k in range(2, 8)),
        tuple(10**k for k in range(2, 8)),
        (1000, 3162, 10000),
        (30, 100, 300, 1000),
    ),
}


def whole(*parts: xr.Dataset) -> xr.Dataset:
    """Return the parts as one Dataset, without attributes of its own."""
    merged = xr.merge(parts, join="outer", combine_attrs="drop_conflicts")
    merged.attrs.clear()
    return merged


def metrics(result: xr.Dataset) -> dict[str, Any]:
    """Return the numbers of the test problem, flat."""
    numbers: dict[str, Any] = {}
    for method in METHODS:
        for exponent in np.unique(result["collapse_exponent"].values):
            name = f"limit_gap_{method}_exponent_{exponent:g}"
            numbers[name] = scaling.gap(result, method, exponent)
            numbers[f"{name}_control"] = scaling.gap(result, method, exponent, stretched=True)
        for exponent in result["map_exponent"].values:
            for target in result["target"].values:
                numbers[f"slope_{method}_exponent_{exponent:g}_target_{target:g}"] = scaling.slope(
                    result, method, exponent, target
                )
        largest = result.isel(map_size=-1)
        pattern = f"steps_{method}_target_{{target:g}}_exponent_{{map_exponent:g}}"
        size = int(largest["map_size"])
        numbers |= flatten(largest[f"steps_{method}"], f"{pattern}_size_{size}")
        name = f"cross_entropy_steps_{method}"
        reached = flatten(result[name], f"{name}_size_{{cross_entropy_size}}")
        numbers |= {key: n if np.isfinite(n) else "not reached" for key, n in reached.items()}
    numbers |= _worst_metrics(result)
    numbers |= _text_metrics(result)
    numbers["advice_given_share"] = float(result["advised"].mean())
    right = float(result["advice_right"].mean())
    numbers["advice_right_share"] = right if np.isfinite(right) else "no advice"
    numbers["law_right_share"] = float(result["predicted_right"].mean())
    return numbers


def _worst_metrics(result: xr.Dataset) -> dict[str, Any]:
    """Return the exponent of most steps, and the share of them that exponent 1 takes."""
    place = "target_{target:g}_size_{worst_size:g}"
    share = result["worst_steps_at"].sel(worst_other=1.0, drop=True) / result["worst_steps"]
    return {
        **flatten(result["worst_exponent"], f"worst_exponent_{place}"),
        **flatten(result["worst_steps"], f"worst_steps_{place}"),
        **flatten(share, f"share_of_worst_steps_at_exponent_1_{place}"),
    }


def _text_metrics(result: xr.Dataset) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    horizons = result["horizon"].values
    for vocabulary in result["vocabulary"].values:
        here = result.sel(vocabulary=vocabulary)
        for name in ("exponent", "misfit", "symbols", "pairs", "distinct_pairs"):
            numbers[f"text_{name}_{vocabulary}"] = here[f"text_{name}"].item()
        for name in ("gradient", "sign", "adam", "predicted_gradient", "predicted_sign"):
            steps = crossing(horizons, here[name].values, _TEXT_TARGET)
            numbers[f"text_steps_{name}_{vocabulary}"] = (
                steps if np.isfinite(steps) else f"more than {horizons[-1]}"
            )
        for name in METHODS:
            numbers[f"text_gap_{name}_{vocabulary}"] = text_problem.gap(here, name)
            numbers[f"text_gap_{name}_{vocabulary}_independent"] = float(
                here[f"independent_gap_{name}"].mean()
            )
    for name in ("corrected_ratio", "law_ratio"):
        mean = result[name].mean("halving")
        numbers |= flatten(mean, f"{name}_{{descent}}_target_{{target:g}}")
    return numbers


def check(given: CheckInput) -> CheckOutcome:
    """Confront the scaling laws with measured losses."""
    size = SIZES[given.size]
    named = _symbols(read_texts(given.corpus, given.files), size.vocabularies)
    curves = text(named, size.draws, given.seed)
    result = whole(
        collapse(size.limit_sizes),
        steps_map(size.map_sizes),
        worst_case(TARGETS, OTHERS),
        curves,
        predicted_halves(named[max(named)], size.draws, given.seed),
        cross_entropy_steps(size.cross_entropy_sizes),
        advice_trials(size.draws, given.seed),
    )
    return CheckOutcome(
        metrics=metrics(result),
        figures={
            "map": figures.draw_map(result),
            "collapse": figures.draw_collapse(result),
            "text": figures.draw_curves(curves, "Relative loss on text"),
        },
        result=result,
        claims=claims(result),
    )


def _symbols(texts: Sequence[str], vocabularies: Sequence[int]) -> dict[int, Symbols]:
    """Return the symbols of each vocabulary; the last is as large as the texts allow."""
    named: dict[int, Symbols] = {}
    for vocabulary in vocabularies:
        sequences, learnt = byte_pair_symbols(texts, vocabulary)
        named[learnt] = sequences, learnt
        print(f"{learnt} tokens learnt, {sum(map(len, sequences))} in the texts")
        if learnt < vocabulary:
            break
    return named
