r"""Parameters that the data do not determine, and their determined combinations.

If a model depends on two parameters through their ratio alone, the observations carry no
information about either parameter, whatever their number. Along a direction v without information,
:math:`v^T I v = 0`. The standard errors of the parameters in v are infinite, the other standard
errors are computed within the determined directions, and the combinations :math:`c^T p` with
:math:`c^T v = 0` have finite intervals.

The error of a surrogate looks like information that the data do not have. A direction along which
its observations move by less than one standard error over the parameters' whole scale, of which
identifiability warns, is therefore called weak. A parameter whose standard error by weak directions
is half of its whole scale or more is not determined, however narrow its interval. Along a weak
direction of the forward model itself the intervals are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.special import stdtrit

from popinv.inference.answer.stated_values import read_names
from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.identifiability import Identifiability

# A direction holds nothing if the moments move by less than this over the parameters' whole scale,
# in standard errors, and if the likelihood's information along it is less than the second number
# times what the parameters have one by one.
_NOTHING, _LEAST_INFORMATION = 0.05, 1e-2
# A direction is new if its part beyond the other directions is at least this long.
_ANOTHER = 0.3
# A parameter is not determined if it has at least this part in a direction that holds nothing, a
# unit vector in units of the scales, or this standard error by the weak directions.
_PART, _LARGEST_ERROR = 0.1, 0.5
# A smaller entry of a direction is rounding, which a variance without end would magnify.
_LEAST_ENTRY = 1e-8
# Coefficients of a combination this close to a multiple of a half are rounded to it, to zero if it
# is this small in units of the scales too. A surrogate errs in its directions.
_ROUND, _ROUND_WEAK = 0.02, 0.1


@dataclass(frozen=True)
class Combination:
    """A determined combination of parameters that are not determined themselves.

    Attributes
    ----------
    name : str
        For example ``F_median / V_median``.
    value, lower, upper : float
        Estimate and ends of the 95 % interval.
    standard_error : float
        Standard error of the estimate, by the delta method.
    """

    name: str
    value: float
    lower: float
    upper: float
    standard_error: float


@dataclass(frozen=True)
class Undetermined:
    """What the data do not determine.

    Attributes
    ----------
    directions : ndarray of shape (k, n_p)
        Directions without information: orthonormal, in units of the scales.
    scales : ndarray of shape (n_p,)
    weak : ndarray of shape (m, n_p), optional
        The other directions of which identifiability warns through a surrogate, each over the
        standard errors by which the observations move along it.
    inside : tuple of ndarray of shape (n_p,) and (n_p, n_p), optional
        The point at which directions hold nothing, if it is not the estimate, and the covariance
        that the moments allow there along the other directions.
    """

    directions: np.ndarray
    scales: np.ndarray
    weak: np.ndarray | None = None
    inside: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(
        cls,
        moments: Identifiability,
        likelihood: Identifiability | None,
        information: np.ndarray,
        surrogate: bool = False,
    ) -> Undetermined:
        """Return what neither the moments nor the likelihood, if it gives the answer, determine.

        Parameters
        ----------
        moments, likelihood : Identifiability
            By the moments, and by the likelihood if it gives the answer.
        information : ndarray of shape (n_p, n_p)
            The information of the answer.
        surrogate : bool
            Whether the moments, or the likelihood if it gives the answer, go through a surrogate.
        """
        scales = np.where(moments.scales > 0, moments.scales, 1.0)
        found = moments.directions[moments.singular_values < _NOTHING]
        if likelihood is None:
            return cls(found, scales, _weak(moments, scales) if surrogate else None)
        # The likelihood may determine what mean and covariance do not.
        plain = found * moments.scales
        along = np.einsum("ki,ij,kj->k", plain, information, plain)
        found = found[along < _LEAST_INFORMATION * (plain**2) @ np.diag(information)]
        own = likelihood.directions[likelihood.singular_values < _NOTHING]
        own = _joined(own * likelihood.scales / scales, found)
        return cls(own, scales, _weak(likelihood, scales) if surrogate else None)

    def sharing(
        self, known: Identifiability, held: Sequence[int], inside: np.ndarray
    ) -> Undetermined:
        """Return this with the directions that hold nothing once entries leave their boundary.

        If the data show the sum of two variances alone, one of the deviations may end at zero. The
        other one is then no better determined.

        Parameters
        ----------
        known : Identifiability
            At a point where no entry is at its boundary.
        held : sequence of int
            The entries that are at their boundary, or near it, at the estimate.
        inside : ndarray of shape (n_p,)
            That point.
        """
        scales = np.where(known.scales > 0, known.scales, 1.0)
        found = known.directions[known.singular_values < _NOTHING]
        if not np.any(np.abs(found[:, list(held)]) > _PART):
            return self
        directions = _joined(self.directions * self.scales / scales, found)
        shown = known.singular_values >= _NOTHING
        root = known.directions[shown] * known.scales / known.singular_values[shown, None]
        return Undetermined(directions, scales, self.weak, (inside, root.T @ root))

    @property
    def entries(self) -> np.ndarray:
        """Boolean mask (n_p,) of the parameters that are not determined."""
        nothing = np.any(np.abs(self.directions) > _PART, axis=0)
        if self.weak is None:
            return nothing
        return nothing | (np.linalg.norm(self.weak, axis=0) > _LARGEST_ERROR)

    def within(self, covariance: np.ndarray) -> np.ndarray:
        """Return a covariance (n_p, n_p) within the determined directions."""
        if not len(self.directions):
            return covariance
        along = np.where(np.abs(self.directions) < _LEAST_ENTRY, 0.0, self.directions)
        across = np.eye(len(self.scales)) - along.T @ along
        scale = np.outer(self.scales, self.scales)
        return scale * (across @ (covariance / scale) @ across)

    def combinations(
        self, problem: Problem, p: np.ndarray, covariance: np.ndarray
    ) -> list[Combination]:
        """Return the determined combinations of the parameters that are not determined.

        Parameters
        ----------
        p : ndarray of shape (n_p,)
        covariance : ndarray of shape (n_p, n_p)
        """
        among = np.flatnonzero(self.entries)
        if not len(among):
            return []
        # A weak direction counts where it makes a parameter undetermined.
        every = [self.directions]
        if self.weak is not None:
            every.append(self.weak[np.abs(self.weak).max(axis=1) > _LARGEST_ERROR])
        along = (np.concatenate(every) * self.scales)[:, among]
        near = _ROUND if len(every) == 1 or not len(every[1]) else _ROUND_WEAK
        rows = _simplest(scipy.linalg.null_space(along).T, self.scales[among], near)
        names, logs = _names(problem)
        t, found = float(stdtrit(problem.units - 1, 0.975)), []
        within, whole = self.within(covariance), np.zeros(len(p))
        for row in rows:
            used = among[row != 0]
            terms = [(c, names[i], bool(logs[i])) for c, i in zip(row, among, strict=True) if c]
            whole[:], whole[among] = 0.0, row
            if self.inside is not None and logs[used].all():
                point, allowed = self.inside
                weights = _squares(whole[used] / np.exp(2 * point[used]), near)
                if weights is not None:
                    each = zip(weights, used, strict=True)
                    name = _sum([(float(c), f"{names[i]}^2", False) for c, i in each])
                    value = float(np.log(weights @ np.exp(2 * p[used])))
                    parts = weights * np.exp(2 * point[used])
                    slope = 2 * parts / parts.sum()
                    error = float(np.sqrt(slope @ allowed[np.ix_(used, used)] @ slope))
                    found.append(_combination(name, value, error, t, True))
                    continue
            error = float(np.sqrt(whole @ within @ whole))
            product = all(log for _, _, log in terms)
            name = _product(terms) if product else _sum(terms)
            found.append(_combination(name, float(whole @ p), error, t, product))
        return found


def _joined(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return orthonormal directions (k, n_p): those of a set, and what others have beyond it."""
    own = scipy.linalg.orth(own.T).T.reshape(-1, others.shape[1])
    for direction in others:
        rest = direction - own.T @ (own @ direction)
        if (length := float(np.linalg.norm(rest))) > _ANOTHER:
            own = np.concatenate([own, rest[None] / length])
    return own


def _combination(name: str, value: float, error: float, t: float, of_logs: bool) -> Combination:
    """Return a combination with this value and standard error, or with these of its logarithm."""
    ends = np.array([value, value - t * error, value + t * error])
    ends = np.exp(ends) if of_logs else ends
    value, low, high = map(float, ends)
    return Combination(name, value, low, high, error * value if of_logs else error)


def _squares(weights: np.ndarray, near: float) -> np.ndarray | None:
    """Return weights of squares, of which the first is 1, or None if they are no sum of squares.

    A direction of logarithms along which ``sum w_i s_i^2`` is constant is orthogonal to
    ``(w_i s_i^2)``.
    """
    if len(weights) < 2 or np.any(weights <= 0):
        return None
    weights = weights / weights[0]
    whole = np.maximum(np.round(weights), 1.0)
    return np.where(np.abs(weights / whole - 1) < near, whole, weights)


def _weak(known: Identifiability, scales: np.ndarray) -> np.ndarray:
    """Return the weak directions, each times the standard error along it."""
    moved = known.singular_values
    rows = known.warned & (moved >= _NOTHING)
    return known.directions[rows] * (known.scales / scales) / moved[rows, None]


def _simplest(rows: np.ndarray, scales: np.ndarray, near: float) -> np.ndarray:
    """Return a basis of the same space with many zeros, rounded to halves that are near."""
    rows = rows.copy()
    for k in range(len(rows)):
        pivot = int(np.argmax(np.abs(rows[k])))
        rows[k] /= rows[k, pivot]
        others = np.arange(len(rows)) != k
        rows[others] -= np.outer(rows[others, pivot], rows[k])
    # A small coefficient counts if its parameter moves by much.
    moved = np.abs(rows) * scales
    first = moved > near * moved.max(axis=1, keepdims=True)
    rows = np.where(first, rows, 0.0)
    # The first parameter of a combination has a positive coefficient.
    rows *= np.sign(rows[np.arange(len(rows)), first.argmax(axis=1)])[:, None]
    halves = np.round(2 * rows) / 2
    return np.where((np.abs(rows - halves) < near) & (halves != 0), halves, rows)


def _names(problem: Problem) -> tuple[list[str], np.ndarray]:
    """Return the names of all entries as users read them, and which entries are logarithms."""
    law, noise = problem.law, problem.noise
    logs = np.array(law.positive)
    for entry, parameter in law.medians.items():
        logs[entry] = law.logarithmic[parameter]
    names = [*read_names(law), *(f"noise_{name}" for name in noise.names)]
    return names, np.concatenate([logs, ~noise.correlations])


def _power(coefficient: float, name: str) -> str:
    return name if abs(coefficient) == 1 else f"{name}^{abs(coefficient):.2g}"


def _product(used: list[tuple[float, str, bool]]) -> str:
    above = " * ".join(_power(c, name) for c, name, _ in used if c > 0)
    below = "".join(f" / {_power(c, name)}" for c, name, _ in used if c < 0)
    return (above or "1") + below


def _sum(used: list[tuple[float, str, bool]]) -> str:
    terms: list[str] = []
    for c, name, log in used:
        size = "" if abs(c) == 1 else f"{abs(c):.2g} "
        sign = "-" if c < 0 else "+" if terms else ""
        terms.append(f"{sign} {size}{f'log({name})' if log else name}".strip())
    return " ".join(terms)
