r"""Laws whose transformed parameters are jointly normal.

With a monotone map t_i for each parameter (:mod:`popinv.population.laws.transforms`),

.. math:: z_i = t_i(x_i), \qquad x = m + B c + \operatorname{diag}(s)\, C \omega, \qquad
    C C^T = R,

where m is the mean, s the standard deviations and R the correlations of x, c the covariates of the
system, and B their coefficients. The logarithm of s may depend on covariates in the same way. The
Cholesky factor C comes from canonical partial correlations in (-1, 1), any of which give a positive
definite R (:mod:`popinv.population.laws.correlation_matrices`). A parameter may be the same in all
systems, ``s_i = 0`` (a fixed effect), or held at a known value. The standard form of nonlinear
mixed-effects models (Lavielle, Mixed Effects Models for the Population Approach, 2014, chapter 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from popinv.population.laws.base import Law
from popinv.population.laws.correlation_matrices import (
    cholesky_factor,
    correlations_of,
    pair_indices,
    partials,
)
from popinv.population.laws.structure import coefficient_names, correlation_names
from popinv.population.laws.transforms import Transform, bounded_columns, unbounded_columns


class GaussianLaw(Law):
    """Parameters that are jointly normal after a transform of each.

    alpha holds the means of x, the logarithms of its standard deviations, the coefficients of the
    covariates, and atanh of the canonical partial correlations. The natural values of the last are
    the correlations themselves.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    transforms : sequence of Transform
        The map of each.
    common : collection of str
        Parameters that are the same in all systems.
    fixed : mapping of str to float
        Parameters with a known value, which is the same in all systems.
    groups : sequence of sequences of str
        Groups of parameters that are correlated with each other. No parameter is in two of them.
    covariates : sequence of str
        Names of the covariates, as they follow each other in c.
    effects, scale_effects : sequence of (str, str)
        Pairs of a parameter and a covariate that its mean, or the logarithm of its standard
        deviation, depends on.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Transform],
        common: Sequence[str] = (),
        fixed: Mapping[str, float] | None = None,
        groups: Sequence[Sequence[str]] = (),
        covariates: Sequence[str] = (),
        effects: Sequence[tuple[str, str]] = (),
        scale_effects: Sequence[tuple[str, str]] = (),
    ) -> None:
        fixed = fixed or {}
        self.d_z, self.transforms = len(parameters), tuple(transforms)
        self._alike = len(set(self.transforms)) == 1
        place = {name: i for i, name in enumerate(parameters)}
        self._free = [i for name, i in place.items() if name not in fixed]
        self._random = [i for i in self._free if parameters[i] not in common]
        held = [float(fixed.get(name, math.nan)) for name in parameters]
        self._held = torch.tensor(held, dtype=torch.float64)
        self.d_omega, self.covariates = len(self._random), len(covariates)
        self._whole = self.d_omega == self.d_z
        # Place of each random parameter among the free ones.
        self._moving = [self._free.index(i) for i in self._random]
        order = {i: k for k, i in enumerate(self._random)}
        self._groups = [[order[place[name]] for name in group] for group in groups]
        correlations = correlation_names(groups)
        on_mean = [(covariates.index(c), self._free.index(place[name])) for name, c in effects]
        on_scale = [(covariates.index(c), order[place[name]]) for name, c in scale_effects]
        self._effects = _indicators(on_mean, len(covariates), len(self._free))
        self._scale_effects = _indicators(on_scale, len(covariates), self.d_omega)
        each = len(effects) + len(scale_effects)
        self._counts = (len(self._free), self.d_omega, each, len(correlations))
        self.coefficients = tuple(
            (len(self._free) + self.d_omega + k, covariate)
            for k, (covariate, _) in enumerate([*on_mean, *on_scale])
        )
        self.names = (
            *(f"{parameters[i]}_mean" for i in self._free),
            *(f"{parameters[i]}_standard_deviation" for i in self._random),
            *coefficient_names(effects, scale_effects),
            *correlations,
        )
        free, random, effect_count, pairs = self._counts
        self.positive = (
            *(False,) * free,
            *(True,) * random,
            *(False,) * (effect_count + pairs),
        )
        self.joint = bool(groups)
        self.affine = all(transform.kind == "none" for transform in transforms)

    @property
    def correlations(self) -> np.ndarray:
        """True for the last entries of alpha."""
        return np.arange(len(self.names)) >= len(self.names) - self._counts[3]

    @property
    def varying(self) -> np.ndarray:
        """True for the parameters that are neither common to all systems nor held."""
        return np.isin(np.arange(self.d_z), self._random)

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """True for the parameters whose logarithm is normal."""
        return tuple(transform.kind == "log" for transform in self.transforms)

    @property
    def medians(self) -> Mapping[int, int]:
        """The means of the parameters that a transform bounds."""
        places = enumerate(self._free)
        return {entry: i for entry, i in places if self.transforms[i].kind != "none"}

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

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return x for z (..., d_z), column by column."""
        if self._alike:
            return self.transforms[0].unbounded(z)
        return unbounded_columns(self.transforms, z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return z for x (..., d_z), column by column."""
        if self._alike:
            return self.transforms[0].bounded(x)
        return bounded_columns(self.transforms, x)

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

    def to_natural(self, alpha: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained alpha (..., d_alpha)."""
        natural = super().to_natural(alpha)
        for entries, size in self._blocks():
            natural[..., entries] = correlations_of(np.asarray(alpha)[..., entries], size)
        return natural

    def from_natural(self, values: Mapping[str, float] | Sequence[float]) -> np.ndarray:
        """Return unconstrained alpha for named natural values.

        Raises
        ------
        ValueError
            As :meth:`popinv.population.laws.base.Law.from_natural`, or if correlations belong to no
            joint law.
        """
        alpha = super().from_natural(values)
        for entries, size in self._blocks():
            matrix = np.eye(size)
            rows, columns = pair_indices(size)
            matrix[rows, columns] = matrix[columns, rows] = np.tanh(alpha[entries])
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
            mean = mean + _predictor(for_mean, self._effects, covariates)
            log_deviation = log_deviation + _predictor(for_scale, self._scale_effects, covariates)
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


def _indicators(places: Sequence[tuple[int, int]], rows: int, columns: int) -> torch.Tensor:
    """Return a matrix (rows, columns) for each place, 1 there and 0 elsewhere."""
    matrices = torch.zeros((len(places), rows, columns), dtype=torch.float64)
    for k, (row, column) in enumerate(places):
        matrices[k, row, column] = 1.0
    return matrices


def _predictor(
    coefficients: torch.Tensor, effects: torch.Tensor, covariates: torch.Tensor
) -> torch.Tensor:
    """Return the linear predictor B c of each row (n, columns)."""
    slopes = torch.einsum("...k,kij->...ij", coefficients, effects)
    if slopes.ndim == 2:
        return covariates @ slopes
    # Each row has coefficients of its own.
    return (covariates[..., None] * slopes).sum(dim=-2)
