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

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.special import stdtrit

from popinv.inference.identifiability import Identifiability
from popinv.inference.problem import Problem
from popinv.inference.stated_values import read_names

# A direction holds nothing if the moments move by less than this over the parameters' whole scale,
# in standard errors, and if the likelihood's information along it is less than the second number
# times what the parameters have one by one.
_NOTHING, _LEAST_INFORMATION = 0.05, 1e-2
# A direction is new if its part beyond the other directions is at least this long.
_ANOTHER = 0.3
# A parameter is not determined if it has at least this part in a direction that holds nothing, a
# unit vector in units of the scales, or this standard error by the weak directions.
_PART, _LARGEST_ERROR = 0.1, 0.5
# Coefficients of a combination this close to a multiple of a half are rounded to it. A surrogate
# errs in its directions.
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
    """

    directions: np.ndarray
    scales: np.ndarray
    weak: np.ndarray | None = None

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
        own = scipy.linalg.orth((own * likelihood.scales / scales).T).T.reshape(-1, len(scales))
        for direction in found:
            rest = direction - own.T @ (own @ direction)
            if (length := float(np.linalg.norm(rest))) > _ANOTHER:
                own = np.concatenate([own, rest[None] / length])
        return cls(own, scales, _weak(likelihood, scales) if surrogate else None)

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
        across = np.eye(len(self.scales)) - self.directions.T @ self.directions
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
        rows = _simplest(scipy.linalg.null_space(along).T, near)
        names, logs = _names(problem)
        t, found = float(stdtrit(problem.units - 1, 0.975)), []
        for row in rows:
            value = float(row @ p[among])
            error = float(np.sqrt(row @ covariance[np.ix_(among, among)] @ row))
            half = t * error
            each = zip(row.tolist(), among.tolist(), strict=True)
            used = [(c, names[i], bool(logs[i])) for c, i in each if c]
            ends = np.array([value, value - half, value + half])
            product = all(log for _, _, log in used)
            ends = np.exp(ends) if product else ends
            name = _product(used) if product else _sum(used)
            value, lower, upper = map(float, ends)
            found.append(
                Combination(name, value, lower, upper, error * value if product else error)
            )
        return found


def _weak(known: Identifiability, scales: np.ndarray) -> np.ndarray:
    """Return the weak directions, each times the standard error along it."""
    moved = known.singular_values
    rows = known.warned & (moved >= _NOTHING)
    return known.directions[rows] * (known.scales / scales) / moved[rows, None]


def _simplest(rows: np.ndarray, near: float) -> np.ndarray:
    """Return a basis of the same space with many zeros, rounded to halves that are near."""
    rows = rows.copy()
    for k in range(len(rows)):
        pivot = int(np.argmax(np.abs(rows[k])))
        rows[k] /= rows[k, pivot]
        others = np.arange(len(rows)) != k
        rows[others] -= np.outer(rows[others, pivot], rows[k])
    # The first parameter of a combination has a positive coefficient.
    first = np.abs(rows) > near
    rows *= np.sign(rows[np.arange(len(rows)), first.argmax(axis=1)])[:, None]
    halves = np.round(2 * rows) / 2
    return np.where(np.abs(rows - halves) < near, halves, rows)


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
