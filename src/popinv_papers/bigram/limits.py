"""Curves at scaled times: they should fall together on the limit of large vocabularies.

At the two critical exponents (1 for gradient descent, 1/2 for sign descent) the limit is approached
as 1/log(d) only. There the losses at the two largest sizes are extrapolated linearly in 1/log(d).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.bigram import gradient_descent, sign_descent
from popinv_papers.bigram.curves import METHODS
from popinv_papers.kit.kept import kept

EXPONENTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
STRETCH = 0.1
"""The control's times are longer by this further power of the size."""

# Scaled times at which curves are compared with their limits.
_TIMES = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
_SHARES = np.linspace(0.2, 0.9, 8)
_STEPS = np.array([10.0, 30.0, 100.0, 300.0, 1000.0])
_FEW_STEPS = np.array([1.0, 2.0, 5.0, 10.0, 20.0])

_COLUMNS = {
    "method": "0: gradient descent, 1: sign descent with the best step",
    "exponent": "exponent of Zipf's law",
    "size": "size of the vocabulary",
    "tau": "scaled time",
    "relative_loss": "relative loss",
    "stretched": "relative loss at the control's longer times",
    "limit": "relative loss in the limit of large vocabularies",
}


def is_critical(method: str, exponent: float) -> bool:
    """Return whether the scaled time of a method is a power of the size at this exponent."""
    return exponent == (1.0 if method == "gradient" else 0.5)


def scaled_times(method: str, exponent: float) -> np.ndarray:
    """Return the scaled times at which the curves of different sizes should fall together."""
    if is_critical(method, exponent):
        return _SHARES
    # Where no scaling is needed, the scaled time is the number of steps.
    if method == "gradient" and exponent > 1:
        return _STEPS
    return _FEW_STEPS if method == "sign" and exponent < 0.5 else _TIMES


def loss_at(method: str, size: int, exponent: float, tau: float, stretch: float = 0.0) -> float:
    """Return the relative loss at a scaled time, sign descent with its best step.

    The number of steps is not rounded, and is multiplied by the size to the power ``stretch``.
    """
    longer = size**stretch
    if method == "gradient":
        steps = longer * gradient_descent.horizon(size, exponent, tau)
        return gradient_descent.relative_loss(size, exponent, steps)
    steps = longer * sign_descent.horizon(size, exponent, tau)
    return sign_descent.best_relative_loss(size, exponent, steps)[0]


def limit_at(method: str, exponent: float, tau: float) -> float:
    """Return the limit for large vocabularies at a scaled time."""
    if method == "gradient":
        return float(gradient_descent.limit(exponent, tau))
    return sign_descent.limit(exponent, tau)


def collapse(sizes: Sequence[int], exponents: Sequence[float] = EXPONENTS) -> xr.Dataset:
    """Return relative losses at scaled times for every exponent and size, and their limits.

    One row per (method, exponent, size, scaled time). ``collapse_stretched`` is the loss of the
    control, at times longer by :data:`STRETCH`.
    """
    laws = [(method, exponent) for method in METHODS for exponent in exponents]
    parts = [
        kept(f"limits {method} {exponent:g} {sizes}", partial(_rows, method, exponent, sizes))
        for method, exponent in tqdm(laws, desc="limits", unit="law", disable=None)
    ]
    return xr.Dataset(
        {
            f"collapse_{name}": variable(
                "collapse_point", np.concatenate([part[name] for part in parts]), text
            )
            for name, text in _COLUMNS.items()
        }
    )


def _rows(method: str, exponent: float, sizes: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """Return the columns of one method and exponent."""
    rows: list[tuple[float, ...]] = []
    for tau in map(float, scaled_times(method, exponent)):
        limit = limit_at(method, exponent, tau)
        for size in sizes:
            loss, longer = (
                loss_at(method, size, exponent, tau, stretch) for stretch in (0, STRETCH)
            )
            rows.append((METHODS.index(method), exponent, size, tau, loss, longer, limit))
    return dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))


def gap(result: xr.Dataset, method: str, exponent: float, stretched: bool = False) -> float:
    """Return the largest distance from the limit at the largest size.

    At a critical exponent it is that of the losses extrapolated from the two largest sizes.
    """
    chosen = (result["collapse_method"] == METHODS.index(method)).values
    chosen &= result["collapse_exponent"].values == exponent
    sizes = result["collapse_size"].values[chosen]
    name = "collapse_stretched" if stretched else "collapse_relative_loss"
    losses = result[name].values[chosen]
    before, largest = np.unique(sizes)[-2:]
    at = losses[sizes == largest]
    if is_critical(method, exponent):
        near, far = 1 / np.log(largest), 1 / np.log(before)
        at = (far * at - near * losses[sizes == before]) / (far - near)
    return float(np.abs(at - result["collapse_limit"].values[chosen][sizes == largest]).max())
