r"""Exact sums under Zipf's law: curves at scaled times, steps of both descents, the worst exponent.

At scaled times the curves should fall together on the limit of large vocabularies. At the two
critical exponents (1 for gradient descent, 1/2 for sign descent) the limit is approached as
1/log(d) only. There the losses at the two largest sizes are extrapolated linearly in 1/log(d).

The map of who wins has the steps of both descents by exponent, vocabulary and accuracy.

The exponent at which gradient descent needs most steps is found at any size of the vocabulary. The
relative loss under Zipf's law with exponent a is ``sum_k g(k) / sum_k k^-a``,
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
from popinv_papers.bigram import gradient_descent, sign_descent
from popinv_papers.bigram.curves import METHODS, STEPS_TO
from popinv_papers.bigram.power_law import check_power_law
from popinv_papers.kit.kept import kept, kept_numbers

# --- limits ---------------------------------------------------------------------------------------

LIMIT_EXPONENTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
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


def collapse(sizes: Sequence[int], exponents: Sequence[float] = LIMIT_EXPONENTS) -> xr.Dataset:
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

    At a critical exponent it belongs to the losses extrapolated from the two largest sizes.
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


# --- the map of who wins --------------------------------------------------------------------------

MAP_EXPONENTS = (
    *(0.25, 0.5, 0.625, 0.75, 0.875, 0.95, 1.0),
    *(1.05, 1.1, 1.175, 1.25, 1.375, 1.5, 1.75, 2.0),
)
TARGETS = (0.3, 0.1, 0.03)
# Slopes are of sizes from here on, where the power law of the steps has set in.
_LARGE = 1000


def steps_map(
    sizes: Sequence[int],
    exponents: Sequence[float] = MAP_EXPONENTS,
    targets: Sequence[float] = TARGETS,
) -> xr.Dataset:
    """Return the steps of both descents, shape (target, exponent, size)."""
    dims = ("target", "map_exponent", "map_size")
    shape = len(targets), len(exponents), len(sizes)
    steps = {method: np.empty(shape, dtype=np.int64) for method in METHODS}
    # The sizes are outside, so that the sums of powers are made once for each law.
    places = [(size, exponent) for size in sizes for exponent in exponents]
    for size, exponent in tqdm(places, desc="map", unit="law", disable=None):
        part = partial(_steps, size, exponent, targets)
        found = kept(f"map {size} {exponent:g} to {targets}", part)
        for method in METHODS:
            place = slice(None), exponents.index(exponent), sizes.index(size)
            steps[method][place] = found[method]
    return xr.Dataset(
        {
            f"steps_{method}": variable(dims, steps[method], f"steps of {method} descent")
            for method in METHODS
        },
        coords={
            "target": variable("target", list(targets), "relative loss to reach"),
            "map_exponent": variable("map_exponent", list(exponents), "exponent of Zipf's law"),
            "map_size": variable("map_size", list(sizes), "size of the vocabulary"),
        },
    )


def _steps(size: int, exponent: float, targets: Sequence[float]) -> dict[str, list[int]]:
    return {
        method: [STEPS_TO[method](size, exponent, target) for target in targets]
        for method in METHODS
    }


def steps_at(result: xr.Dataset, method: str, exponent: float, size: int, target: float) -> float:
    """Return the steps at one place of the map."""
    place = {"map_exponent": exponent, "map_size": size, "target": target}
    return float(result[f"steps_{method}"].sel(place))


def slope(result: xr.Dataset, method: str, exponent: float, target: float) -> float:
    """Return b of steps ~ size^b, by least squares in logarithms over sizes from 1000 on."""
    steps = result[f"steps_{method}"].sel(map_exponent=exponent, target=target)
    sizes = steps["map_size"].values
    large = sizes >= min(_LARGE, sizes[-2])
    return float(np.polyfit(np.log(sizes[large]), np.log(steps.values[large]), 1)[0])


# --- the worst exponent ---------------------------------------------------------------------------

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
    """Return the first terms k^-a from k = 2 on, their decay, and the sum of all terms."""
    rest = np.arange(2, min(size, _DIRECT) + 1, dtype=float) ** -exponent
    return rest, np.log1p(-rest), 1 + float(rest.sum()) + _tail(size, exponent, 0.0)


def relative_loss_of_any(size: int, exponent: float, steps: float) -> float:
    """Return the relative loss after t > 0 steps for any size; t need not be whole."""
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

    The search begins among exponents of this spacing.
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
    """Return the worst exponent, its steps and those at other exponents, by target and size."""
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
