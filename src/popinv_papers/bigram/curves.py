"""Curves of both descents on counted bigrams, beside those that the power law predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from popinv.store.variables import variable
from popinv_papers.bigram import gradient_descent, sign_descent
from popinv_papers.bigram.entries import Bigrams, EntryGroups, best_adam_losses
from popinv_papers.bigram.power_law import fitted_exponent
from popinv_papers.kit.kept import kept

METHODS = ("gradient", "sign")
STEPS_TO = {"gradient": gradient_descent.steps_to, "sign": sign_descent.steps_to}
"""The fewest steps of each descent to a relative loss under a power law."""
HORIZONS = 2 ** np.arange(1, 11)
# Beyond these horizons the counted curves have fallen below every target.
_LONG_HORIZONS = 2 ** np.arange(1, 16)


def text_curves(bigrams: Bigrams, with_adam: bool = True, part: str | None = None) -> xr.Dataset:
    """Return measured and predicted relative losses on counted bigrams.

    The prediction follows from Zipf's law, with the exponent fitted to the contexts' frequencies
    and as many symbols as occur. The curves may be a part of a test problem, of the name ``part``.

    The Dataset has ``gradient``, ``sign``, ``adam`` and ``predicted_gradient``, ``predicted_sign``
    along ``horizon``, and the attributes ``exponent``, ``misfit``, ``symbols`` and ``pairs``.
    """
    exponent, misfit = fitted_exponent(bigrams.context_counts)
    symbols = int((bigrams.context_counts > 0).sum())
    losses = partial(_losses, bigrams, with_adam, symbols, exponent)
    curves = losses() if part is None else kept(part, losses)
    return xr.Dataset(
        {
            name: variable("horizon", values, f"relative loss, {name.replace('_', ' ')}")
            for name, values in curves.items()
        },
        coords={"horizon": variable("horizon", HORIZONS, "steps")},
        attrs={
            "exponent": exponent,
            "misfit": misfit,
            "symbols": symbols,
            "pairs": int(bigrams.counts.sum()),
            "distinct_pairs": len(bigrams.counts),
        },
    )


def _losses(
    bigrams: Bigrams, with_adam: bool, symbols: int, exponent: float
) -> dict[str, list[float]]:
    counted, law = losses_of(bigrams.entries), losses_of((symbols, exponent))
    curves = {method: [counted[method](int(t)) for t in HORIZONS] for method in METHODS}
    for method in METHODS:
        curves[f"predicted_{method}"] = [law[method](int(t)) for t in HORIZONS]
    if with_adam:
        curves["adam"] = list(best_adam_losses(bigrams.entries, HORIZONS))
    return curves


def losses_of(source: EntryGroups | tuple[int, float]) -> dict[str, Callable[[int], float]]:
    """Return the relative loss of each descent as a function of its steps.

    The source is groups of entries, or the symbols and the exponent of a power law.
    """
    if isinstance(source, EntryGroups):
        return {"gradient": source.gradient_loss, "sign": lambda t: source.best_sign_loss(t)[0]}
    return {
        "gradient": partial(gradient_descent.relative_loss, *source),
        "sign": lambda t: sign_descent.best_relative_loss(*source, t)[0],
    }


def crossing(horizons: np.ndarray, losses: np.ndarray, target: float) -> float:
    """Return where a falling curve crosses the target, log-log between points; inf if it does not.

    Before the first horizon the loss falls from 1 at one step.
    """
    x, y = np.log(np.append(1, horizons)), np.log(np.append(1.0, losses))
    below = np.flatnonzero(y <= np.log(target))
    if not len(below):
        return float("inf")
    i = below[0]
    share = (np.log(target) - y[i - 1]) / (y[i] - y[i - 1])
    return float(np.exp(x[i - 1] + share * (x[i] - x[i - 1])))


def crossings(source: EntryGroups | tuple[int, float], targets: Sequence[float]) -> np.ndarray:
    """Return the steps of both descents to each target, interpolated, shape (2, targets).

    Whole steps of a descent that needs few of them are too coarse to compare.

    The source is as in :func:`losses_of`.
    """
    losses = losses_of(source)
    rows = []
    for method in METHODS:
        curve: list[float] = []
        for horizon in _LONG_HORIZONS:
            curve.append(losses[method](int(horizon)))
            if curve[-1] <= min(targets):
                break
        reached = _LONG_HORIZONS[: len(curve)]
        rows.append([crossing(reached, np.array(curve), target) for target in targets])
    return np.array(rows)
