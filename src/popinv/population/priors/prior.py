r"""The prior of law and noise: a sum of independent log densities of natural values.

With the natural values x = x(p) of the unconstrained p = (alpha, gamma), the estimators maximise

.. math:: \ell(p) + \sum_i \log \pi_i(x_i(p)).

The maximum is the posterior mode in the natural scale: the density of x itself, without a Jacobian,
so that it does not depend on the coordinates p in which it is found. The density of p, which a
sampler in p needs, has the Jacobian in addition,

.. math:: \log \pi(p) = \sum_i \log \pi_i(x_i(p)) + \log \Bigl|\frac{dx}{dp}\Bigr|.

A parameter without a prior has a density that is constant in its natural value.

Each density is restricted to the values that its parameter can have, and integrates to 1 over them.
The prior of a correlation matrix R with d rows is (Lewandowski, Kurowicka and Joe, J. Multivariate
Anal. 100, 2009)

.. math::
    \pi(R) = \frac{\det(R)^{\eta - 1}}{c}, \qquad
    c = \prod_{j=1}^{d-1} \bigl[2^{2 b_j - 1} B(b_j, b_j)\bigr]^{d - j}, \qquad
    b_j = \eta + \frac{d - 1 - j}{2}.

Its correlations have beta densities with both exponents :math:`\eta + d / 2 - 1`. Priors of single
correlations of a matrix with three or more rows hold where R is positive definite, up to a
constant.

The prior counts once, whatever the number of systems N. Its effect on what N systems determine
vanishes as 1 / N. A law of no prescribed shape has a prior of its own on its coefficients
(:attr:`popinv.population.laws.base.Law.of_shape`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy
from scipy.special import betaln

from popinv.late import torch
from popinv.population.constraints import Constraint, Parameterised
from popinv.population.correlation_matrix import CorrelationMatrix
from popinv.population.laws.base import Law

if TYPE_CHECKING:
    from popinv.population.noise.terms import Noise

LogDensity = Callable[["torch.Tensor"], "torch.Tensor"]
"""The log density of natural values, entry by entry, which torch differentiates."""

_LOG_ROOT = 0.5 * math.log(2 * math.pi)


def normal(mean: float, deviation: float, ends: tuple[float, float]) -> LogDensity:
    """Return the log density of a normal value, restricted to an interval."""
    low, high = ((end - mean) / deviation for end in ends)
    # The tails keep their digits on the side of the interval that is nearer to the mean, and in
    # logarithms however far it is.
    side = -1.0 if low > 0 else 1.0
    below, mass = scipy.stats.norm.logcdf(sorted([side * low, side * high]))
    mass += np.log1p(-np.exp(below - mass))
    constant = -_LOG_ROOT - math.log(deviation) - float(mass)
    return lambda x: constant - 0.5 * ((x - mean) / deviation) ** 2


def lognormal(mean: float, deviation: float, ends: tuple[float, float]) -> LogDensity:
    """Return the log density of a value above ``ends[0] >= 0`` whose logarithm is normal."""
    least = -math.inf if ends[0] == 0 else (math.log(ends[0]) - mean) / deviation
    constant = -_LOG_ROOT - math.log(deviation) - float(scipy.stats.norm.logsf(least))

    def density(x: torch.Tensor) -> torch.Tensor:
        log = torch.log(x)
        return constant - log - 0.5 * ((log - mean) / deviation) ** 2

    return density


def half_student(freedom: float, scale: float, ends: tuple[float, float]) -> LogDensity:
    """Return the log density of Student's t about zero, restricted to values above ``ends[0]``."""
    constant = (
        math.lgamma((freedom + 1) / 2)
        - math.lgamma(freedom / 2)
        - 0.5 * math.log(freedom * math.pi)
        - math.log(scale)
        - float(scipy.stats.t.logsf(ends[0] / scale, freedom))
    )
    return lambda x: constant - (freedom + 1) / 2 * torch.log1p((x / scale) ** 2 / freedom)


def beta(a: float, b: float, ends: tuple[float, float]) -> LogDensity:
    """Return the log density of a beta value on an interval."""
    low, high = ends
    constant = -float(betaln(a, b)) - (a + b - 1) * math.log(high - low)

    def density(x: torch.Tensor) -> torch.Tensor:
        # An exponent of zero has no pole at an end that rounding reaches.
        return (
            constant
            + torch.xlogy(x.new_tensor(a - 1), x - low)
            + torch.xlogy(x.new_tensor(b - 1), high - x)
        )

    return density


class PriorPart(ABC):
    """The log density of some natural values, as a function of entries of p.

    Attributes
    ----------
    entries : ndarray of int, shape (k,)
        The entries of p that the density depends on.
    """

    entries: np.ndarray

    @abstractmethod
    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return the log density of the natural values at these entries u (k,) of p."""

    @property
    def touched(self) -> np.ndarray:
        """The entries of p whose natural values have the density, as indices."""
        return self.entries

    def among(self, free: np.ndarray) -> PriorPart | None:
        """Return the part of the density that moves with the free entries (n_p,), if any."""
        return self if free[self.entries].any() else None

    def derivatives(self, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient (k,), and curvature (k, k), which is the negative Hessian."""
        return _derivatives(self.log_density, u)


def _derivatives(density: LogDensity, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    at = torch.from_numpy(np.array(u, dtype=float)).requires_grad_(True)
    with torch.enable_grad():
        value = density(at)
        (slope,) = torch.autograd.grad(value, at)
        hessian = torch.autograd.functional.hessian(density, at.detach())
    return float(value.detach()), slope.numpy(), -hessian.numpy()


def _separate(density: LogDensity, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return value, gradient and curvature of a sum of functions of one entry each."""
    at = torch.from_numpy(np.array(u, dtype=float)).requires_grad_(True)
    with torch.enable_grad():
        # A function without slope, or without curvature, has a derivative all the same.
        value = density(at) + 0.0 * (at**2).sum()
        (slope,) = torch.autograd.grad(value, at, create_graph=True)
        (second,) = torch.autograd.grad(slope.sum(), at)
    return float(value.detach()), slope.detach().numpy(), np.diag(-second.numpy())


@dataclass(frozen=True)
class ShapePrior(PriorPart):
    """The standard normal prior of the coefficients of a law of no prescribed shape.

    The coordinates of a discrepancy of the simulator have it too. It has no constant, so that it is
    zero where the law is normal, and the discrepancy zero. ``weights`` (n_p,) is 1 for these
    coefficients, and 0 for other entries.
    """

    weights: np.ndarray

    @property
    def entries(self) -> np.ndarray:  # type: ignore[override]
        """All entries."""
        return np.arange(len(self.weights))

    @property
    def touched(self) -> np.ndarray:
        """The coefficients."""
        return np.flatnonzero(self.weights)

    def among(self, free: np.ndarray) -> PriorPart | None:
        """Return the prior of the coefficients that move, if any do."""
        moving = replace(self, weights=self.weights * free[: len(self.weights)])
        return moving if moving.weights.any() else None

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return half the negative sum of squares."""
        return -0.5 * (torch.from_numpy(self.weights) * u**2).sum()

    def derivatives(self, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient and curvature in closed form."""
        slope = self.weights * u
        return -float(0.5 * slope @ u), -slope, np.diag(self.weights)


@dataclass(frozen=True)
class EntryPriors(PriorPart):
    """Densities of values that each depend on one entry of p."""

    entries: np.ndarray
    constraints: tuple[Constraint, ...]
    densities: tuple[LogDensity, ...]

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return the sum of the log densities."""
        each = zip(u, self.constraints, self.densities, strict=True)
        return torch.stack([density(t.bounded(v)) for v, t, density in each]).sum()

    def among(self, free: np.ndarray) -> PriorPart | None:
        """Return the densities of the entries that move."""
        rows = np.flatnonzero(free[self.entries])
        if not len(rows):
            return None
        return EntryPriors(
            self.entries[rows],
            tuple(self.constraints[i] for i in rows),
            tuple(self.densities[i] for i in rows),
        )

    def derivatives(self, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient and curvature, which is diagonal."""
        return _separate(self.log_density, u)


@dataclass(frozen=True)
class LkjPrior(PriorPart):
    """The density det(R)^(eta - 1) / c of a correlation matrix."""

    entries: np.ndarray
    matrix: CorrelationMatrix
    shape: float

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return the log density of the correlations."""
        constant = _log_lkj_constant(self.shape, self.matrix.size)
        return (self.shape - 1) * self.matrix.log_determinant(u) - constant


def _log_lkj_constant(shape: float, size: int) -> float:
    j = np.arange(1, size)
    b = shape + (size - 1 - j) / 2
    return float(((size - j) * ((2 * b - 1) * math.log(2) + betaln(b, b))).sum())


@dataclass(frozen=True)
class CorrelationPriors(PriorPart):
    """Densities of single correlations of a matrix, by their place among its correlations."""

    entries: np.ndarray
    matrix: CorrelationMatrix
    densities: dict[int, LogDensity]

    @property
    def touched(self) -> np.ndarray:
        """The entries of these correlations."""
        return self.entries[sorted(self.densities)]

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return the sum of the log densities."""
        r = self.matrix.correlations(u)
        return torch.stack([density(r[k]) for k, density in self.densities.items()]).sum()


@dataclass(frozen=True)
class Jacobian(PriorPart):
    """The logarithm of the slopes of natural values that each depend on one entry of p."""

    entries: np.ndarray
    constraints: tuple[Constraint, ...]

    def among(self, free: np.ndarray) -> PriorPart | None:
        """Return the slopes of the entries that move."""
        rows = np.flatnonzero(free[self.entries])
        own = tuple(self.constraints[i] for i in rows)
        return Jacobian(self.entries[rows], own) if len(rows) else None

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return log |dx / du|."""
        each = zip(u, self.constraints, strict=True)
        return torch.stack([t.log_slope(v) for v, t in each]).sum()

    def derivatives(self, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient and curvature, which is diagonal."""
        return _separate(self.log_density, u)


@dataclass(frozen=True)
class MatrixJacobian(PriorPart):
    """The logarithm of the Jacobian of the correlations of a matrix."""

    entries: np.ndarray
    matrix: CorrelationMatrix

    def log_density(self, u: torch.Tensor) -> torch.Tensor:
        """Return log |dr / du|."""
        return self.matrix.log_jacobian(u)


@dataclass(frozen=True)
class StatedPrior:
    """The priors that a study states.

    Attributes
    ----------
    parts : tuple of PriorPart
        Their entries are places in p.
    words : tuple of str
        The priors, as the user reads them.
    """

    parts: tuple[PriorPart, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prior:
    """The log density of all natural values of law and noise, as a function of p.

    Attributes
    ----------
    parts : tuple of PriorPart
        The law's own prior, then the stated ones.
    slopes : tuple of PriorPart
        The Jacobian.
    size : int
        n_p.
    """

    parts: tuple[PriorPart, ...]
    slopes: tuple[PriorPart, ...]
    size: int

    @classmethod
    def of(cls, law: Law, noise: Noise, stated: StatedPrior) -> Prior:
        """Return the law's own prior together with the stated ones."""
        d_alpha = len(law.names)
        weights = np.concatenate([law.of_shape, noise.of_shape]).astype(float)
        own = [ShapePrior(weights)] if weights.any() else []
        slopes = (*jacobian_of(law, 0), *jacobian_of(noise, d_alpha))
        return cls((*own, *stated.parts), slopes, d_alpha + len(noise.names))

    def __bool__(self) -> bool:
        """Whether there is any prior."""
        return bool(self.parts)

    @property
    def own(self) -> Prior:
        """The law's own prior alone."""
        return self._with(part for part in self.parts if isinstance(part, ShapePrior))

    @property
    def stated(self) -> Prior:
        """The stated prior alone."""
        return self._with(part for part in self.parts if not isinstance(part, ShapePrior))

    def among(self, free: np.ndarray) -> Prior:
        """Return the prior of what moves with the free entries, a boolean mask (n_p,)."""
        return self._with(found for part in self.parts if (found := part.among(free)) is not None)

    def _with(self, parts: Iterable[PriorPart]) -> Prior:
        return replace(self, parts=tuple(parts))

    @property
    def entries(self) -> np.ndarray:
        """Boolean mask (n_p,): which parameters have a prior."""
        found = np.zeros(self.size, dtype=bool)
        for part in self.parts:
            found[part.touched] = True
        return found

    def log_density(self, p: torch.Tensor) -> torch.Tensor:
        """Return the log density of the natural values at p (at least d_alpha,), as a tensor."""
        return self._total(p, jacobian=False)

    def _total(self, p: torch.Tensor, jacobian: bool) -> torch.Tensor:
        total = torch.zeros((), dtype=p.dtype)
        for part in (*self.parts, *(self.slopes if jacobian else ())):
            total = total + part.log_density(p[torch.from_numpy(part.entries)])
        return total

    def value(self, p: np.ndarray, jacobian: bool = False) -> float:
        """Return the log density at p (n_p,).

        Parameters
        ----------
        p : ndarray of shape (n_p,)
        jacobian : bool
            False for the density of the natural values, True for the density of p.
        """
        with torch.no_grad():
            return float(self._total(torch.from_numpy(np.array(p, dtype=float)), jacobian))

    def gradient(self, p: np.ndarray, jacobian: bool = False) -> np.ndarray:
        """Return the gradient (n_p,) of :meth:`value` in p."""
        at = torch.from_numpy(np.array(p, dtype=float)).requires_grad_(True)
        with torch.enable_grad():
            # A density of no parameter has a gradient all the same.
            total = self._total(at, jacobian) + 0.0 * at.sum()
            (slope,) = torch.autograd.grad(total, at)
        found: np.ndarray = slope.numpy()
        return found

    def curvature(self, p: np.ndarray, jacobian: bool = False) -> np.ndarray:
        """Return the negative Hessian (n_p, n_p) of :meth:`value` in p.

        A log density that is not concave in p has negative eigenvalues somewhere.
        """
        return self._summed(p, jacobian)[2]

    def derivatives(
        self, p: np.ndarray, jacobian: bool = False
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return :meth:`value`, :meth:`gradient` and :meth:`curvature` together."""
        return self._summed(p, jacobian)

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return independent draws of p (count, n_p).

        NaN for entries whose prior is flat on an unbounded interval, and for correlations of
        matrices with three or more rows, which have no distribution one by one.
        """
        found = np.full((count, self.size), np.nan)
        for i in range(self.size):
            alone = np.arange(self.size) == i
            # Of sums over entries, the own term.
            own = [part.among(alone) for part in (*self.parts, *self.slopes)]
            depending = [part for part in own if part is not None]
            if all(len(part.entries) == 1 for part in depending):
                found[:, i] = _drawn(depending, rng.random(count))
        return found

    def _summed(self, p: np.ndarray, jacobian: bool) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient = 0.0, np.zeros(self.size)
        curvature = np.zeros((self.size, self.size))
        for part in (*self.parts, *(self.slopes if jacobian else ())):
            own, slope, matrix = part.derivatives(p[part.entries])
            value += own
            gradient[part.entries] += slope
            curvature[np.ix_(part.entries, part.entries)] += matrix
        return value, gradient, curvature


# Draws come from the densities at this many places, beyond which they are less than e^-40 of the
# largest one.
_PLACES, _NEGLIGIBLE, _FURTHEST = 4001, 40.0, 60.0
_MOST_SEARCHES, _UNBOUNDED = 60, 1e20


def _drawn(parts: Iterable[PriorPart], shares: np.ndarray) -> np.ndarray:
    """Return the quantiles (n,) of one entry of p, whose log density is a sum, at shares (n,).

    They are NaN if the density does not fall towards both ends.
    """
    # Numbers of any size are among the first places.
    places = np.sinh(np.linspace(-_FURTHEST, _FURTHEST, _PLACES))
    for _ in range(_MOST_SEARCHES):
        at = torch.from_numpy(places[:, None])
        log = np.nan_to_num(
            sum(torch.vmap(part.log_density)(at).numpy() for part in parts), nan=-np.inf
        )
        near = np.flatnonzero(log >= log.max() - _NEGLIGIBLE)
        if (near[0] == 0 or near[-1] == _PLACES - 1) and places[0] < -_UNBOUNDED:
            return np.full_like(shares, np.nan)
        low, high = places[max(near[0] - 1, 0)], places[min(near[-1] + 1, _PLACES - 1)]
        if len(near) > _PLACES // 2 and np.allclose(np.diff(places), places[1] - places[0]):
            break
        places = np.linspace(low, high, _PLACES)
    density = np.exp(log - log.max())
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(shares * below[-1], below, places)


def jacobian_of(model: Parameterised, first: int) -> tuple[PriorPart, ...]:
    """Return the Jacobian of a model's natural values; its entries of p begin at ``first``."""
    matrices = [each.after(first) for each in model.matrices]
    inside = {i for each in matrices for i in each.entries}
    rest = [i for i in range(len(model.names)) if first + i not in inside]
    of_entries = Jacobian(
        np.array([first + i for i in rest], dtype=int),
        tuple(model.constraints[i] for i in rest),
    )
    of_matrices = [MatrixJacobian(np.array(each.entries), each) for each in matrices]
    return (*([of_entries] if rest else []), *of_matrices)


def nonnegative(curvature: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix (n, n) with its negative eigenvalues set to zero."""
    if is_diagonal(curvature):
        return np.diag(np.maximum(np.diag(curvature), 0.0))
    values, vectors = np.linalg.eigh(curvature)
    return curvature if values[0] >= 0 else (vectors * np.maximum(values, 0.0)) @ vectors.T


def square_root(curvature: np.ndarray) -> np.ndarray:
    """Return F (n, n) with F F^T a symmetric matrix whose negative eigenvalues count as zero."""
    if is_diagonal(curvature):
        return np.diag(np.sqrt(np.maximum(np.diag(curvature), 0.0)))
    values, vectors = np.linalg.eigh(curvature)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def is_diagonal(matrix: np.ndarray) -> bool:
    """Return whether all entries beside the diagonal are zero."""
    return not np.any(matrix - np.diag(np.diag(matrix)))
