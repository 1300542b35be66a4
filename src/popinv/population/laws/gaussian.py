r"""Laws whose transformed parameters are jointly normal.

With the monotone map t_i of the constraint of each parameter
(:mod:`popinv.population.constraints`),

.. math:: z_i = t_i(x_i), \qquad x = m + B c + \operatorname{diag}(s)\, C \omega, \qquad
    C C^T = R,

where m is the mean, s the standard deviations and R the correlations of x, c the covariates of the
system, and B their coefficients. The logarithm of s may depend on covariates in the same way. A
parameter may be the same in all systems, ``s_i = 0`` (a fixed effect), or held at a known value.
This is the standard form of nonlinear mixed-effects models (Lavielle, Mixed Effects Models for the
Population Approach, 2014, chapter 3). A parameter without constraint is normal, a positive one
lognormal, and one in an interval logit-normal.

The Cholesky factor C follows from canonical partial correlations p_ij in (-1, 1), i > j,

.. math::
    C_{ij} = p_{ij} \Bigl(1 - \sum_{k < j} C_{ik}^2\Bigr)^{1/2}, \qquad
    C_{ii} = \Bigl(1 - \sum_{k < i} C_{ik}^2\Bigr)^{1/2},

and any such p give a positive definite matrix (Lewandowski, Kurowicka and Joe, J. Multivariate
Anal. 100, 2009). The unconstrained coordinates are atanh p_ij. For two parameters p is the
correlation itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from popinv.late import torch
from popinv.population.constraints import CORRELATION, POSITIVE, REAL, Constraint
from popinv.population.correlation_matrix import CorrelationMatrix, slope_of_partials
from popinv.population.laws.base import Law
from popinv.population.laws.parameters import coefficient_names, correlation_names

# Partial correlations are kept so far from 1.
_INSIDE = 1e-6


class GaussianLaw(Law):
    """Parameters that are jointly normal after a transform of each.

    alpha holds the means of x, the logarithms of its standard deviations, the coefficients of the
    covariates, and atanh of the canonical partial correlations. The natural values of the last are
    the correlations themselves.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    transforms : sequence of Constraint
        The constraint of each.
    common : collection of str
        Parameters that are the same in all systems.
    fixed : mapping of str to float
        Parameters with a known value, which is the same in all systems.
    groups : sequence of sequences of str
        Groups of parameters that are correlated with each other. No parameter is in two of them.
    covariates : sequence of str
        Names of the covariates, in the order of c.
    effects, scale_effects : sequence of (str, str)
        Pairs of a parameter and a covariate that its mean, or the logarithm of its standard
        deviation, depends on.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Constraint],
        common: Sequence[str] = (),
        fixed: Mapping[str, float] | None = None,
        groups: Sequence[Sequence[str]] = (),
        covariates: Sequence[str] = (),
        effects: Sequence[tuple[str, str]] = (),
        scale_effects: Sequence[tuple[str, str]] = (),
    ) -> None:
        fixed = fixed or {}
        self.d_z, self.transforms = len(parameters), tuple(transforms)
        place = {name: i for i, name in enumerate(parameters)}
        self._free = [i for name, i in place.items() if name not in fixed]
        self._random = [i for i in self._free if parameters[i] not in common]
        self._fixed = [float(fixed.get(name, math.nan)) for name in parameters]
        self.d_omega, self.covariates = len(self._random), len(covariates)
        self._whole = self.d_omega == self.d_z
        # Place of each random parameter among the free ones.
        self._moving = [self._free.index(i) for i in self._random]
        order = {i: k for k, i in enumerate(self._random)}
        self._groups = [[order[place[name]] for name in group] for group in groups]
        correlations = correlation_names(groups)
        on_mean = [(covariates.index(c), self._free.index(place[name])) for name, c in effects]
        on_scale = [(covariates.index(c), order[place[name]]) for name, c in scale_effects]
        self._effects = indicators(on_mean, len(covariates), len(self._free))
        self._scale_effects = indicators(on_scale, len(covariates), self.d_omega)
        each = len(effects) + len(scale_effects)
        self._counts = (len(self._free), self.d_omega, each, len(correlations))
        self.coefficients = tuple(
            (len(self._free) + self.d_omega + k, covariate)
            for k, (covariate, _) in enumerate([*on_mean, *on_scale])
        )
        of_mean = range(
            len(self._free) + self.d_omega, len(self._free) + self.d_omega + len(effects)
        )
        self.mean_entries = (*range(len(self._free)), *of_mean)
        self.names = (
            *(f"{parameters[i]}_mean" for i in self._free),
            *(f"{parameters[i]}_standard_deviation" for i in self._random),
            *coefficient_names(effects, scale_effects),
            *correlations,
        )
        free, random, effect_count, pairs = self._counts
        self.constraints = (
            *(REAL,) * free,
            *(POSITIVE,) * random,
            *(REAL,) * effect_count,
            *(CORRELATION,) * pairs,
        )
        self.joint = bool(groups)
        self.affine = all(transform == REAL for transform in transforms)

    @cached_property
    def _held(self) -> torch.Tensor:
        """The values of parameters that are held, NaN for the others."""
        return torch.tensor(self._fixed, dtype=torch.float64)

    @property
    def mean_counts(self) -> np.ndarray:
        """Number of coefficients of the same parameter's mean, at least 1, for each entry."""
        of_effects = np.zeros(0, dtype=int)
        if len(self._effects):
            of_effects = self._effects.sum(dim=1).argmax(dim=1).numpy()
        each = 1.0 + np.bincount(of_effects, minlength=len(self._free))
        entries = [*range(len(self._free)), *self._moving, *of_effects]
        counts = super().mean_counts
        counts[: len(entries)] = each[entries]
        return counts

    @property
    def varying(self) -> np.ndarray:
        """True for the parameters that are neither common to all systems nor held."""
        return np.isin(np.arange(self.d_z), self._random)

    @property
    def medians(self) -> Mapping[int, int]:
        """The means of the parameters that a transform bounds."""
        places = enumerate(self._free)
        return {entry: i for entry, i in places if self.transforms[i] != REAL}

    @property
    def matrices(self) -> tuple[CorrelationMatrix, ...]:
        """The matrix of each group."""
        return tuple(
            CorrelationMatrix(
                tuple(range(entries.start, entries.stop)),
                size,
                partial(cholesky_factor, size=size),
                slope_of_partials,
            )
            for entries, size in self._blocks()
        )

    def sample(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map omega (n, d_omega), and covariates (n, k) where there are any, to z (n, d_z)."""
        mean, log_deviation = self._moments(alpha, covariates)
        shift = torch.exp(log_deviation) * self._correlated(alpha, omega)
        if self._whole:
            x = mean + shift
        else:
            mean = mean.expand(len(omega), -1)
            x = self._held.repeat(len(omega), 1)
            x[:, self._free] = mean
            x[:, self._random] = mean[:, self._moving] + shift
        return self._filled(self.bounded(x))

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z) for systems with covariates (n, k)."""
        return self.sample(alpha, omega, covariates)

    def log_density(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the log density of the parameters that vary, for each row of z (n, d_z)."""
        mean, log_deviation = self._moments(alpha, covariates)
        every = self.unbounded(z)
        x = every[:, self._random]
        e = (x - mean[..., self._moving]) * torch.exp(-log_deviation)
        density = -torch.sum(log_deviation, dim=-1)
        if self._groups:
            factor = self._factor(alpha)
            # It is triangular in the order of the groups.
            e = torch.linalg.solve(factor, e[..., None])[..., 0]
            density = density - torch.linalg.slogdet(factor)[1]
        normal = -0.5 * (e**2).sum(dim=-1) - 0.5 * self.d_omega * math.log(2 * math.pi)
        slopes = [self.transforms[i].log_slope(every[:, i]) for i in self._random]
        return normal + density - torch.stack(slopes).sum(dim=0)

    def log_density_given(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Return the log density of systems with covariates (n, k)."""
        return self.log_density(alpha, z, covariates)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the moments of x, or the result of a search where they are not most likely."""
        d = self.d_omega
        x = self.unbounded(torch.from_numpy(z)).numpy()
        if self.covariates or 0 < self._counts[3] < d * (d - 1) // 2:
            # The density does not depend on the means of parameters that do not vary.
            still = [k for k in range(len(self._free)) if k not in self._moving]
            start = start.copy()
            start[still] = x[0, [self._free[k] for k in still]]
            return super().most_likely(z, start)
        moments = [x[:, self._free].mean(axis=0), np.log(x[:, self._random].std(axis=0))]
        if self._groups:
            every = np.corrcoef(x[:, self._random][:, self._groups[0]], rowvar=False)
            moments.append(partials(every))
        return np.concatenate(moments)

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained alpha (..., d_alpha)."""
        natural = super().to_natural(unconstrained)
        for entries, size in self._blocks():
            natural[..., entries] = correlations_of(np.asarray(unconstrained)[..., entries], size)
        return natural

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (d_alpha,).

        Raises
        ------
        ValueError
            If correlations belong to no joint law.
        """
        alpha = super().to_unconstrained(natural)
        for entries, size in self._blocks():
            matrix = np.eye(size)
            rows, columns = pair_indices(size)
            matrix[rows, columns] = matrix[columns, rows] = natural[entries]
            alpha[entries] = partials(matrix)
        return alpha

    def _blocks(self) -> Iterator[tuple[slice, int]]:
        """Yield the entries of alpha that belong to each group, and the size of the group."""
        first = len(self.names) - self._counts[3]
        for group in self._groups:
            count = len(group) * (len(group) - 1) // 2
            yield slice(first, first + count), len(group)
            first += count

    def _moments(
        self, alpha: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means of the free x, with covariates for each row, and log deviations."""
        free, random, effects, _ = self._counts
        mean, log_deviation = alpha[..., :free], alpha[..., free : free + random]
        if effects:
            if covariates is None:
                raise ValueError("the law depends on covariates, which were not given")
            coefficients = alpha[..., free + random : free + random + effects]
            split = len(self._effects)
            for_mean, for_scale = coefficients[..., :split], coefficients[..., split:]
            mean = mean + predictor(for_mean, self._effects, covariates)
            log_deviation = log_deviation + predictor(for_scale, self._scale_effects, covariates)
        return mean, log_deviation

    def _correlated(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        if not self._groups:
            return omega
        return (self._factor(alpha) @ omega[..., None])[..., 0]

    def _factor(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the Cholesky factor of R, one for each row of alpha."""
        rest = alpha[..., -self._counts[3] :]
        whole = torch.eye(self.d_omega, dtype=alpha.dtype).expand(*alpha.shape[:-1], -1, -1).clone()
        for group in self._groups:
            size = len(group) * (len(group) - 1) // 2
            rows = torch.tensor(group)
            whole[..., rows[:, None], rows] = cholesky_factor(rest[..., :size], len(group))
            rest = rest[..., size:]
        return whole

    def _filled(self, z: torch.Tensor) -> torch.Tensor:
        """Return z with the known values of the parameters that are held."""
        held = ~torch.isnan(self._held)
        return torch.where(held, self._held, z) if bool(held.any()) else z


def normal_law(parameters: Sequence[str], **structure: Any) -> GaussianLaw:
    """Return the law of normal parameters, ``z_i = m_i + s_i omega_i`` if they are independent.

    ``structure`` are further arguments of :class:`GaussianLaw`.
    """
    return GaussianLaw(parameters, [REAL] * len(parameters), **structure)


def lognormal_law(parameters: Sequence[str], **structure: Any) -> GaussianLaw:
    """Return the law of lognormal parameters, whose logarithms are jointly normal.

    ``structure`` are further arguments of :class:`GaussianLaw`.
    """
    return GaussianLaw(parameters, [POSITIVE] * len(parameters), **structure)


def indicators(places: Sequence[tuple[int, int]], rows: int, columns: int) -> torch.Tensor:
    """Return a matrix (rows, columns) for each place, 1 there and 0 elsewhere."""
    matrices = torch.zeros((len(places), rows, columns), dtype=torch.float64)
    for k, (row, column) in enumerate(places):
        matrices[k, row, column] = 1.0
    return matrices


def predictor(
    coefficients: torch.Tensor, effects: torch.Tensor, covariates: torch.Tensor
) -> torch.Tensor:
    """Return the linear predictor B c of each row (n, columns)."""
    slopes = torch.einsum("...k,kij->...ij", coefficients, effects)
    if slopes.ndim == 2:
        return covariates @ slopes
    # Each row has coefficients of its own.
    return (covariates[..., None] * slopes).sum(dim=-2)


def pair_indices(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the entries below the diagonal, row by row."""
    pairs = [(i, j) for i in range(1, size) for j in range(i)]
    rows, columns = zip(*pairs, strict=True)
    return np.array(rows), np.array(columns)


def cholesky_factor(unconstrained: torch.Tensor, size: int) -> torch.Tensor:
    """Return C (..., size, size) for atanh of the partial correlations (..., pairs)."""
    own = torch.tanh(unconstrained)
    # log(1 - p^2)
    log_rest = CORRELATION.log_slope(unconstrained)
    rows = [[torch.ones_like(own[..., 0])]]
    entries = iter(range(own.shape[-1]))
    for i in range(1, size):
        row: list[torch.Tensor] = []
        logs = torch.zeros_like(own[..., 0])
        for _, k in zip(range(i), entries, strict=False):
            row.append(own[..., k] * torch.exp(logs / 2))
            logs = logs + log_rest[..., k]
        rows.append([*row, torch.exp(logs / 2)])
    zero = torch.zeros_like(own[..., 0])
    filled = [torch.stack([*row, *[zero] * (size - len(row))], dim=-1) for row in rows]
    return torch.stack(filled, dim=-2)


def correlations_of(unconstrained: np.ndarray, size: int) -> np.ndarray:
    """Return the correlations (..., pairs) for atanh of the partial correlations (..., pairs)."""
    factor = cholesky_factor(torch.from_numpy(np.array(unconstrained, dtype=float)), size).numpy()
    matrix = factor @ np.swapaxes(factor, -1, -2)
    rows, columns = pair_indices(size)
    return matrix[..., rows, columns]


def partials(matrix: np.ndarray) -> np.ndarray:
    """Return atanh of the partial correlations (pairs,) of a correlation matrix.

    Raises
    ------
    ValueError
        If the matrix is not positive definite.
    """
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError("these correlations belong to no joint law") from None
    size = len(matrix)
    found = np.zeros(size * (size - 1) // 2)
    for k, (i, j) in enumerate(itertools.chain(*[[(i, j) for j in range(i)] for i in range(size)])):
        rest = 1.0 - np.sum(factor[i, :j] ** 2)
        found[k] = np.clip(factor[i, j] / np.sqrt(rest), -1 + _INSIDE, 1 - _INSIDE)
    return np.arctanh(found)
