"""Both descents on text: against the power law, on independent tokens, and with a correction.

Independent tokens that follow the fitted power law meet the paper's Assumption 2.3 in the limit of
long texts. As many of them as the text has show what a short sample alone does to the curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.bigram.curves import METHODS, crossings, text_curves
from popinv_papers.bigram.entries import Bigrams, halves
from popinv_papers.bigram.power_law import fitted_exponent, frequencies
from popinv_papers.bigram.scaling import TARGETS
from popinv_papers.kit.kept import kept, kept_numbers

Symbols = tuple[list[np.ndarray], int]
"""Sequences of symbols, and the number of symbols of their vocabulary."""

_PARTS = 5


def independent_tokens(size: int, exponent: float, pairs: int, seed: int) -> Bigrams:
    """Return the bigrams of independent tokens of Zipf's law; exponent 0 makes all equal."""
    rng = generator(seed, "bigram/independent")
    shares = frequencies(size, exponent) if exponent else np.full(size, 1 / size)
    # The sum of all shares is rounded, so that the last boundary is left out.
    tokens = np.searchsorted(np.cumsum(shares)[:-1], rng.random(pairs + 1), side="right")
    return Bigrams.of([tokens], size)


def gap(curves: xr.Dataset, method: str) -> float:
    """Return the largest distance of the counted curve from the power law's."""
    return float(np.abs(curves[method] - curves[f"predicted_{method}"]).max())


def _gaps(size: int, exponent: float, pairs: int, seed: int) -> dict[str, float]:
    """Return the gap of each method on independent tokens."""
    curves = text_curves(independent_tokens(size, exponent, pairs, seed), with_adam=False)
    return {method: gap(curves, method) for method in METHODS}


def _exponents(symbols: Symbols) -> list[float]:
    """Return the fitted exponents of disjoint parts of the texts."""
    sequences, size = symbols
    return [
        fitted_exponent(Bigrams.of(sequences[part::_PARTS], size).context_counts)[0]
        for part in range(_PARTS)
    ]


def text(named_symbols: Mapping[int, Symbols], draws: int, seed: int) -> xr.Dataset:
    """Return the curves of every vocabulary, along ``vocabulary``, and of its controls.

    The Dataset has the curves of :func:`text_curves`; ``text_exponent`` and others (vocabulary,);
    ``part_exponent`` (vocabulary, part), of disjoint fifths of the texts, and ``uniform_exponent``,
    of equally frequent tokens; ``independent_gap_gradient`` and ``independent_gap_sign``
    (vocabulary, draw).

    Parameters
    ----------
    named_symbols : mapping of int to Symbols
        The symbols of the text for each size of the vocabulary.
    """
    curves = []
    for size, (sequences, learnt) in named_symbols.items():
        curve = text_curves(Bigrams.of(sequences, learnt), part=f"text {size}")
        law = curve.attrs["symbols"], curve.attrs["exponent"], curve.attrs["pairs"]
        drawn = [
            kept_numbers(f"independent {size} {draw}", partial(_gaps, *law, seed + draw))
            for draw in tqdm(range(draws), desc=f"text, {size} tokens", unit="draw", disable=None)
        ]
        for method in METHODS:
            curve[f"independent_gap_{method}"] = variable(
                "draw",
                [gaps[method] for gaps in drawn],
                f"largest gap of {method} descent on independent tokens",
            )
        curve["part_exponent"] = variable(
            "part", _exponents((sequences, learnt)), "fitted exponent of a fifth of the texts"
        )
        curve["uniform_exponent"] = variable(
            "part",
            [
                fitted_exponent(
                    independent_tokens(law[0], 0, law[2] // _PARTS, seed + part).context_counts
                )[0]
                for part in range(_PARTS)
            ],
            "fitted exponent of equally frequent tokens",
        )
        for name, meaning in (
            ("exponent", "fitted exponent of the contexts' frequencies"),
            ("misfit", "root mean square misfit of the power law, natural logarithm"),
            ("symbols", "tokens that occur"),
            ("pairs", "pairs of neighbours"),
            ("distinct_pairs", "different pairs"),
        ):
            curve[f"text_{name}"] = variable((), curve.attrs[name], meaning)
        curve.attrs.clear()
        curves.append(curve.expand_dims(vocabulary=[size]))
    joined = xr.concat(curves, "vocabulary")
    joined["vocabulary"] = variable("vocabulary", list(named_symbols), "tokens of the vocabulary")
    return joined


def predicted_halves(
    symbols: Symbols, draws: int, seed: int, targets: Sequence[float] = TARGETS
) -> xr.Dataset:
    """Return predicted over counted steps on one half of the texts, at random halvings.

    The correction takes the sorted conditional frequencies from the other half, by the occurrences
    of the context (:meth:`Bigrams.matched`). The power law takes the exponent of the half itself.

    The Dataset has ``corrected_ratio`` and ``law_ratio`` (halving, descent, target), and
    ``counted_steps``.
    """
    halvings = [
        kept(f"halves {draw} to {targets}", partial(_halves, symbols, seed + draw, targets))
        for draw in tqdm(range(draws), desc="halves of the texts", unit="draw", disable=None)
    ]
    counted, corrected, law = (
        np.array([halving[name] for halving in halvings])
        for name in ("counted", "corrected", "law")
    )
    dims = ("halving", "descent", "target")
    return xr.Dataset(
        {
            "counted_steps": variable(dims, counted, "counted steps, interpolated"),
            "corrected_ratio": variable(
                dims, corrected / counted, "steps of the correction over counted steps"
            ),
            "law_ratio": variable(dims, law / counted, "steps of the power law over counted steps"),
        },
        coords={
            "descent": variable("descent", list(METHODS), "descent"),
            "target": variable("target", list(targets), "relative loss to reach"),
        },
    )


def _halves(symbols: Symbols, seed: int, targets: Sequence[float]) -> dict[str, np.ndarray]:
    """Return the steps on one half of the texts: counted, by the correction, by the power law."""
    sequences, size = symbols
    learnt, withheld = halves(sequences, size, seed)
    contexts = withheld.context_counts
    fitted = int((contexts > 0).sum()), fitted_exponent(contexts)[0]
    return {
        "counted": crossings(withheld.entries, targets),
        "corrected": crossings(learnt.matched(contexts), targets),
        "law": crossings(fitted, targets),
    }
