r"""The exponent at which gradient descent needs most steps, at any size of the vocabulary.

The relative loss under Zipf's law with exponent a is ``sum_k g(k) / sum_k k^-a``,
``g(k) = k^-a (1 - k^-a)^{2t}``. The terms up to K are added one by one. The rest is their integral
by Euler's and Maclaurin's formula,

.. math:: \sum_{k=K+1}^{d} g(k) = \int_K^d g\,dk + \frac{g(d) - g(K)}{2}
    + \frac{g'(d) - g'(K)}{12} + \dots,

by Gauss's rule in log k. The term in g' is below 1e-9 of the sum, and is left out. The number of
steps t is taken as a real number, so that it is a smooth function of the exponent.

Which exponent is the worst depends on the accuracy epsilon and the vocabulary. For a < 1 the limit
of Theorem 3.1 gives, as a approaches 1, ``log t ~ a log d + a log(1 - epsilon) / (1 - a)``. It is
largest at

.. math:: 1 - a \approx \sqrt{\frac{-\log(1 - \epsilon)}{\log d}},

which tends to 0. So the worst exponent tends to 1, while exponent 1 itself needs about
``d^{1 - epsilon}`` steps, a power of d fewer than the worst. (Derived here.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import xarray as xr
from scipy.optimize import brentq, minimize_scalar
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.bigram.power_law import check_power_law
from popinv_papers.kit.kept import kept_numbers

VOCABULARIES = (10**5, 10**8, 10**12, 10**16)
"""Vocabularies at which the worst exponent is found."""

# Terms that are added one by one.
_DIRECT = 100_000
# Panels of Gauss's rule for each unit of log k, and places in each.
_PANELS, _PLACES = 8, 12
# Exponents among which the search begins, and how well it finds the worst.
_COARSE, _NEAREST = 0.05, 1e-5
_RANGE = (0.25, 2.0)


@lru_cache(maxsize=4)
def _places(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places log k of Gauss's rule from K to the size, and their weights."""
    first, last = np.log(_DIRECT), np.log(float(size))
    x, w = np.polynomial.legendre.leggauss(_PLACES)
    ends = np.linspace(first, last, 1 + max(1, round(_PANELS * (last - first))))
    half = np.diff(ends)[:, None] / 2
    places = (ends[:-1, None] + half) + half * x
    return places.ravel(), (half * w).ravel()


def _tail(size: int, exponent: float, steps: float) -> float:
    """Return the sum of k^-a (1 - k^-a)^(2t) over k from K + 1 to the size."""
    if size <= _DIRECT:
        return 0.0
    log_k, weights = _places(size)

    def terms(log_k: np.ndarray) -> np.ndarray:
        return np.exp(-exponent * log_k + 2 * steps * np.log1p(-np.exp(-exponent * log_k)))

    integral = float((weights * terms(log_k) * np.exp(log_k)).sum())
    ends = np.log(np.array([_DIRECT, size], dtype=float))
    return integral + float(np.diff(terms(ends))[0]) / 2


@lru_cache(maxsize=4)
def _known(size: int, exponent: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the first terms k^-a without that of k = 1, their decay, and the sum of all."""
    rest = np.arange(2, min(size, _DIRECT) + 1, dtype=float) ** -exponent
    return rest, np.log1p(-rest), 1 + float(rest.sum()) + _tail(size, exponent, 0.0)


def relative_loss_of_any(size: int, exponent: float, steps: float) -> float:
    """Return the relative loss after t steps, t > 0, for a vocabulary of any size.

    Parameters
    ----------
    size : int
    exponent : float
        Of Zipf's law.
    steps : float
        t, which need not be whole.
    """
    check_power_law(size, exponent)
    rest, decay, whole = _known(size, exponent)
    return (float((rest * np.exp(2 * steps * decay)).sum()) + _tail(size, exponent, steps)) / whole


def real_steps_to(size: int, exponent: float, target: float) -> float:
    """Return the time t at which the relative loss is the target, as a real number."""
    low, high = -40.0, np.log(float(size)) + 10

    def excess(log_t: float) -> float:
        loss = relative_loss_of_any(size, exponent, float(np.exp(log_t)))
        # A loss of zero, by rounding, is below every target.
        return float(np.log(max(loss, 1e-300) / target))

    return float(np.exp(brentq(excess, low, high, xtol=1e-12)))


def worst_exponent(size: int, target: float, spacing: float = _COARSE) -> tuple[float, float]:
    """Return the exponent from 0.25 to 2 at which most steps are needed, and the steps.

    Parameters
    ----------
    size : int
    target : float
        Relative loss.
    spacing : float
        Distance of the exponents among which the search begins.
    """
    first, last = _RANGE
    grid = np.linspace(first, last, 1 + round((last - first) / spacing))
    log_steps = [np.log(real_steps_to(size, float(a), target)) for a in grid]
    best = int(np.argmax(log_steps))
    near = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda a: -np.log(real_steps_to(size, float(a), target)),
        bounds=near,
        method="bounded",
        options={"xatol": _NEAREST},
    )
    return float(found.x), float(np.exp(-found.fun))


def worst_case(
    targets: Sequence[float], others: Sequence[float], sizes: Sequence[int] = VOCABULARIES
) -> xr.Dataset:
    """Return the worst exponent, its steps and those at some exponents, by target and size.

    Parameters
    ----------
    targets : sequence of float
        Relative losses.
    others : sequence of float
        Exponents whose steps are returned too.
    sizes : sequence of int
    """
    shape = len(targets), len(sizes)
    exponents, steps = np.empty(shape), np.empty(shape)
    at = np.empty((*shape, len(others)))
    places = [(i, j) for i in range(shape[0]) for j in range(shape[1])]
    for i, j in tqdm(places, desc="worst exponents", unit="place", disable=None):
        name = f"worst exponent {sizes[j]} to {targets[i]:g}"
        found = kept_numbers(name, partial(_place, sizes[j], targets[i], others))
        exponents[i, j], steps[i, j] = found["exponent"], found["steps"]
        at[i, j] = [found[f"steps at {a:g}"] for a in others]
    dims = ("target", "worst_size")
    return xr.Dataset(
        {
            "worst_exponent": variable(dims, exponents, "exponent of most steps, gradient descent"),
            "worst_steps": variable(dims, steps, "steps of gradient descent at that exponent"),
            "worst_steps_at": variable(
                (*dims, "worst_other"), at, "steps of gradient descent at other exponents"
            ),
        },
        coords={
            "target": variable("target", list(targets), "relative loss to reach"),
            "worst_size": variable("worst_size", np.array(sizes, dtype=float), "vocabulary"),
            "worst_other": variable("worst_other", list(others), "exponent of Zipf's law"),
        },
    )


def _place(size: int, target: float, others: Sequence[float]) -> dict[str, float]:
    exponent, steps = worst_exponent(size, target)
    at = {f"steps at {a:g}": real_steps_to(size, a, target) for a in others}
    return {"exponent": exponent, "steps": steps, **at}
