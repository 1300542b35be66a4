r"""A mixture of normal laws of the transformed parameters.

A system belongs to component k with probability w_k. With the monotone map t_i of the constraint of
each parameter (:mod:`popinv.population.constraints`), the parameters of a system of component k are
``z_i = t_i(x_i)`` with independent normal x_i of mean m_ki and standard deviation s_ki, so that

.. math:: p(x) = \sum_k w_k \prod_i N(x_i;\, m_{ki},\, s_{ki}^2) .

The components are a model of subpopulations (McLachlan and Peel, Finite Mixture Models, 2000).
Covariates c of a system shift the means of all components alike, :math:`m_{ki} + (B c)_i`.

The map from omega to x is the Knothe-Rosenblatt map (Rosenblatt, Remarks on a multivariate
transformation, Annals of Mathematical Statistics 23, 1952). Entry by entry, x_i solves

.. math:: \sum_k w_k(x_1, \dots, x_{i-1})\, \Phi\Bigl(\frac{x_i - m_{ki}}{s_{ki}}\Bigr)
    = \Phi(\omega_i), \qquad
    w_k(x_1, \dots, x_i) \propto w_k(x_1, \dots, x_{i-1})\, N(x_i;\, m_{ki}, s_{ki}^2) .

It is smooth and invertible in omega, though a system belongs to one component alone.

The left-hand side is a cumulative distribution function :math:`F(x) = \sum_k w_k \Phi((x - m_k) /
s_k)`, with density f. Its quantile at omega solves ``F(x) = Phi(omega)``. The implicit function
theorem gives the derivatives of the quantile,

.. math:: \frac{dx}{d\theta} = -\frac{\partial_\theta F}{f}, \qquad
    \frac{dx}{d\omega} = \frac{\phi(\omega)}{f} .

The likelihood of known parameters is maximised by expectation and maximisation (EM). Each step is
in closed form and does not lower the likelihood (Dempster, Laird and Rubin, Maximum likelihood from
incomplete data via the EM algorithm, Journal of the Royal Statistical Society B 39, 1977). The
likelihood has several local maxima, so EM begins at several places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from popinv.errors import DivergenceError
from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, SHARE, Constraint
from popinv.population.laws.base import Law
from popinv.population.laws.gaussian import GaussianLaw, indicators, predictor
from popinv.population.laws.parameters import Components, coefficient_names, mixture_names

# Equal means of two components are moved apart by this number of standard deviations.
_SMALLEST_INCREMENT = 1e-8

_LOG_ROOT = 0.5 * math.log(2 * math.pi)
_MOST_ROOT_STEPS = 200
# Tolerance of the quantile, in shares of the ends of its bracket.
_TOLERANCE = 4e-16
# Length of a Newton step, in standard deviations, after which no other is needed.
_LAST_STEP = 3e-9
# The derivative is finite in a gap between components that holds no mass in double precision.
_STEEPEST = 600.0

_MOST_EM_STEPS, _CLOSE = 300, 1e-9
_RANDOM_STARTS = 8
# A component that is narrower, in shares of the deviation of all systems, or that holds fewer
# systems, describes single systems.
_NARROWEST, _FEWEST = 1e-3, 2.0


class MixtureLaw(Law):
    """A mixture of K normal laws of the transformed parameters.

    alpha holds K - 1 logits, K d means and the logarithms of K d standard deviations, the last two
    component by component, and the coefficients of the covariates. Logit k belongs to the weight of
    component k among the components k, k + 1, ..., K: the first is the logit of the weight of
    component 1. The means of one parameter increase from component to component, which numbers the
    components. After the first component, alpha holds the logarithms of the increments of these
    means.

    The likelihood of known parameters is unbounded where a component shrinks to one system.
    :meth:`most_likely` returns a local maximum with components of more than one system.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    transforms : sequence of Constraint
        The constraint of each.
    components : int
        K.
    ordered_by : str, optional
        The parameter whose means increase. The first by default.
    covariates, effects
        As for :class:`~popinv.population.laws.gaussian.GaussianLaw`.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Constraint],
        components: int,
        ordered_by: str | None = None,
        covariates: Sequence[str] = (),
        effects: Sequence[tuple[str, str]] = (),
    ) -> None:
        d = len(parameters)
        self.d_z = self.d_omega = d
        self.parameters = tuple(parameters)
        self.transforms, self._count = tuple(transforms), components
        self._leader = 0 if ordered_by is None else list(parameters).index(ordered_by)
        coefficients = coefficient_names(effects, ())
        self.names = (*mixture_names(parameters, components, self._leader), *coefficients)
        increments = [k > 0 and i == self._leader for k in range(components) for i in range(d)]
        self.constraints = (
            *[SHARE] * (components - 1),
            *(POSITIVE if increment else REAL for increment in increments),
            *[POSITIVE] * (components * d),
            *[REAL] * len(effects),
        )
        self.covariates = len(covariates)
        places = [(covariates.index(c), list(parameters).index(name)) for name, c in effects]
        self._effects = indicators(places, len(covariates), d)
        first = len(self.names) - len(effects)
        self.coefficients = tuple((first + k, c) for k, (c, _) in enumerate(places))
        self.affine = components == 1 and all(each == REAL for each in transforms)
        if components > 1:
            self.component = GaussianLaw(
                parameters, transforms, covariates=covariates, effects=effects
            )
        self.joint = components > 1 and d > 1

    def sample(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map omega (n, d_z), and covariates (n, k) where there are any, to z (n, d_z).

        The map is differentiable once in alpha and omega.
        """
        log_weights, means, log_deviations = self._parts(alpha, covariates)
        columns: list[torch.Tensor] = []
        for i, transform in enumerate(self.transforms):
            here = (means[..., i], log_deviations[..., i])
            x = mixture_quantile(log_weights, *here, omega[:, i])
            columns.append(transform.bounded(x))
            if i + 1 < self.d_z:
                joint = log_weights + log_normal_density(x[:, None], *here)
                log_weights = torch.log_softmax(joint, dim=-1)
        return torch.stack(columns, dim=1)

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega (n, d_z) to z (n, d_z) for systems with covariates (n, k)."""
        return self.sample(alpha, omega, covariates)

    def log_density(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the log density of the mixture, for each row of z (n, d_z)."""
        log_weights, means, log_deviations = self._parts(alpha, covariates)
        x = self.unbounded(z)
        each = log_normal_density(x[:, None, :], means, log_deviations).sum(dim=-1)
        slopes = [t.log_slope(x[:, i]) for i, t in enumerate(self.transforms)]
        return torch.logsumexp(log_weights + each, dim=-1) - torch.stack(slopes).sum(dim=0)

    def log_density_given(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Return the log density of systems with covariates (n, k)."""
        return self.log_density(alpha, z, covariates)

    def split(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log weights (K,), and the parameters (K, d_k) of the components' laws.

        These are means, log deviations, and the coefficients that all components share.
        """
        log_weights, means, log_deviations, coefficients = self._entries(alpha)
        shared = coefficients.expand(self._count, -1)
        return log_weights, torch.cat([means, log_deviations, shared], dim=-1)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the best local maximum that EM finds from several starts, refined by a search.

        Raises
        ------
        DivergenceError
            If z is not finite in unbounded coordinates, or if every component that EM finds holds
            one system.
        """
        x = self.unbounded(torch.from_numpy(z)).numpy()
        found = best_components(x, self.components(start))
        return super().most_likely(z, self.unconstrained(found))

    def components(self, alpha: np.ndarray) -> Components:
        """Return the weights (K,), and the means and standard deviations (K, d_z), at alpha."""
        parts = self._entries(torch.from_numpy(np.asarray(alpha, dtype=float)))
        log_weights, means, log_deviations, _ = (part.numpy() for part in parts)
        return Components(np.exp(log_weights), means, np.exp(log_deviations))

    def unconstrained(self, components: Components) -> np.ndarray:
        """Return alpha (d_alpha,) of components in any order; equal means are moved apart."""
        order = np.argsort(components.means[:, self._leader], kind="stable")
        weights, means, deviations = (array[order] for array in components)
        natural = Components(weights, means, deviations).natural(self._leader)
        alike = np.array(self.positive) & (natural == 0)
        natural[alike] = _SMALLEST_INCREMENT * deviations[:, self._leader].min()
        return self.from_natural(natural.tolist())

    def _parts(
        self, alpha: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return log weights (..., K), means with covariates and log deviations (..., K, d_z)."""
        log_weights, means, log_deviations, coefficients = self._entries(alpha)
        if not self.covariates:
            return log_weights, means, log_deviations
        if covariates is None:
            raise ValueError("the law depends on covariates, which were not given")
        shift = predictor(coefficients, self._effects, covariates)
        return log_weights, means + shift[:, None], log_deviations

    def _entries(self, alpha: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return log weights (..., K), means and log deviations (..., K, d_z), coefficients."""
        size = self._count * self.d_z
        logits, means, log_deviations, coefficients = alpha.split(
            [self._count - 1, size, size, len(self._effects)], dim=-1
        )
        means, log_deviations = (
            part.unflatten(-1, (self._count, self.d_z)) for part in (means, log_deviations)
        )
        leading = means[..., self._leader]
        steps = torch.cat([leading[..., :1], torch.exp(leading[..., 1:])], dim=-1)
        ordered = torch.cumsum(steps, dim=-1)
        columns = list(means.unbind(dim=-1))
        columns[self._leader] = ordered
        return _log_weights(logits), torch.stack(columns, dim=-1), log_deviations, coefficients


def _log_weights(logits: torch.Tensor) -> torch.Tensor:
    """Return K log weights for the logits of each among those that follow."""
    none = torch.zeros_like(logits[..., :0].sum(dim=-1, keepdim=True))
    own = torch.cat([torch.nn.functional.logsigmoid(logits), none], dim=-1)
    left = torch.cumsum(torch.nn.functional.logsigmoid(-logits), dim=-1)
    return own + torch.cat([none, left], dim=-1)


def log_normal_density(
    x: torch.Tensor, mean: torch.Tensor, log_deviation: torch.Tensor
) -> torch.Tensor:
    """Return the log density of a normal law; the arguments broadcast."""
    e = (x - mean) * torch.exp(-log_deviation)
    return -0.5 * e**2 - log_deviation - _LOG_ROOT


def mixture_quantile(
    log_weights: torch.Tensor,
    means: torch.Tensor,
    log_deviations: torch.Tensor,
    omega: torch.Tensor,
) -> torch.Tensor:
    r"""Return x with ``F(x) = Phi(omega)``, differentiable once in all arguments.

    With ``omega > 0`` the mixture is reflected at zero. The lower tail then stands for the upper
    one, and ``log F(x) = log Phi(-|omega|)`` is accurate in both. The root lies between the
    smallest and the largest of ``m_k + s_k omega``. It is found by Newton steps, and by bisection
    where they leave the bracket or shrink slowly, without a gradient. torch's second derivatives
    are not the quantile's second derivatives.

    Parameters
    ----------
    log_weights : Tensor of shape (n, K) or (K,)
        Logarithms of weights that add up to 1.
    means, log_deviations : Tensor of shape (n, K) or (K,)
    omega : Tensor of shape (n,)

    Returns
    -------
    Tensor of shape (n,)
    """
    side = torch.where(omega > 0, -1.0, 1.0).to(omega.dtype)
    tail = -torch.abs(omega)
    reflected = side[:, None] * means
    log_probability = torch.special.log_ndtr(side * omega)
    with torch.no_grad():
        ends = reflected + torch.exp(log_deviations) * tail[:, None]
        low, high = ends.min(dim=1).values, ends.max(dim=1).values
        y = _solve(log_weights, reflected, log_deviations, log_probability, low, high)
        log_slope = _log_density(log_weights, reflected, log_deviations, y) - log_probability
        step = torch.exp(torch.clamp(-log_slope, max=_STEEPEST))
    # The result has the value y, and the derivative of a Newton step from y.
    change = _log_cumulative(log_weights, reflected, log_deviations, y) - log_probability
    return side * (y - (change - change.detach()) * step)


def _solve(
    log_weights: torch.Tensor,
    means: torch.Tensor,
    log_deviations: torch.Tensor,
    target: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
) -> torch.Tensor:
    """Return y with ``log F(y) = target`` between low and high, all of shape (n,).

    Every row stops on its own, so that its result does not depend on the others. It stops when the
    bracket, a step or the residual is as small as rounding allows.
    """
    y, size = (low + high) / 2, high - low
    tolerance = _TOLERANCE * (low.abs() + high.abs())
    rows = torch.nonzero(size > tolerance)[:, 0]
    log_weights, means, log_deviations = (
        part.expand(len(y), -1) for part in (log_weights, means, log_deviations)
    )
    for _ in range(_MOST_ROOT_STEPS):
        if not len(rows):
            break
        weights, centres, widths = log_weights[rows], means[rows], log_deviations[rows]
        at, goal = y[rows], target[rows]
        value = _log_cumulative(weights, centres, widths, at) - goal
        slope = torch.exp(_log_density(weights, centres, widths, at) - value - goal)
        low[rows], high[rows] = (
            torch.where(value < 0, at, low[rows]),
            torch.where(value < 0, high[rows], at),
        )
        below, above = low[rows], high[rows]
        newton = -value / slope
        inside = (at + newton >= below) & (at + newton <= above)
        inside = inside & (newton.abs() <= 0.5 * size[rows])
        move = torch.where(inside, newton, (below + above) / 2 - at)
        y[rows], size[rows] = at + move, torch.where(inside, move.abs(), above - below)
        smallest = torch.minimum(move.abs(), above - below)
        # The error after a Newton step is about its square.
        exact = newton.abs() <= _LAST_STEP * torch.exp(widths).min(dim=1).values
        exact = inside & (exact | (value.abs() <= _TOLERANCE * (1 + goal.abs())))
        rows = rows[(smallest > tolerance[rows]) & ~exact]
    return y


def _log_cumulative(
    log_weights: torch.Tensor, means: torch.Tensor, log_deviations: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    e = (x[:, None] - means) * torch.exp(-log_deviations)
    return torch.logsumexp(log_weights + torch.special.log_ndtr(e), dim=1)


def _log_density(
    log_weights: torch.Tensor, means: torch.Tensor, log_deviations: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    each = log_normal_density(x[:, None], means, log_deviations)
    return torch.logsumexp(log_weights + each, dim=1)


def best_components(x: np.ndarray, start: Components) -> Components:
    """Return the most likely components that EM finds.

    EM begins at the start, at the groups between the quantiles of each parameter, and at random
    systems. Local maxima with components that describe single systems are left out.

    Parameters
    ----------
    x : ndarray of shape (n, d)

    Raises
    ------
    DivergenceError
        If x is not finite, if a parameter is the same in all systems, or if all maxima that are
        found are left out.
    """
    if not np.isfinite(x).all():
        raise DivergenceError("parameters outside the law's range have no likelihood")
    if not x.std(axis=0).all():
        raise DivergenceError("a parameter is the same in all systems, so it has no density")
    best, highest = None, -np.inf
    for first in (start, *_starts(x, len(start.weights))):
        found, value = improve(x, first)
        if value > highest and not _describes_single_systems(x, found):
            best, highest = found, value
    if best is None:
        raise DivergenceError(
            f"{len(x)} systems do not determine {len(start.weights)} components of a mixture"
        )
    return best


def improve(x: np.ndarray, components: Components) -> tuple[Components, float]:
    """Return components after EM, and their mean log likelihood.

    EM stops when a step raises the mean log likelihood by less than 1e-9, and after 300 steps.

    Parameters
    ----------
    x : ndarray of shape (n, d)
    """
    floor = 0.1 * _NARROWEST * x.std(axis=0)
    value = -np.inf
    for _ in range(_MOST_EM_STEPS):
        e = (x[:, None] - components.means) / components.deviations
        each = -0.5 * (e**2 + np.log(2 * np.pi)) - np.log(components.deviations)
        with np.errstate(divide="ignore"):
            joint = np.log(components.weights) + each.sum(axis=2)
        total = logsumexp(joint, axis=1, keepdims=True)
        last, value = value, float(total.mean())
        if value - last < _CLOSE:
            break
        belongs = np.exp(joint - total)
        counts = np.maximum(belongs.sum(axis=0), np.finfo(float).tiny)
        means = belongs.T @ x / counts[:, None]
        squares = np.einsum("nk,nki->ki", belongs, (x[:, None] - means) ** 2)
        deviations = np.sqrt(squares / counts[:, None])
        components = Components(counts / counts.sum(), means, np.maximum(deviations, floor))
    return components, value


def _starts(x: np.ndarray, count: int) -> list[Components]:
    (n, d), deviation = x.shape, x.std(axis=0)
    even = np.full(count, 1 / count)
    starts = []
    for i in range(d):
        groups = np.array_split(x[np.argsort(x[:, i])], count)
        means = np.stack([group.mean(axis=0) for group in groups])
        spread = np.stack([np.maximum(group.std(axis=0), 0.1 * deviation) for group in groups])
        starts.append(Components(even, means, spread))
    rng = np.random.default_rng(0)
    for _ in range(_RANDOM_STARTS if count > 1 else 0):
        means = x[rng.choice(n, count, replace=n < count)]
        starts.append(Components(even, means, np.tile(deviation / count, (count, 1))))
    return starts


def _describes_single_systems(x: np.ndarray, found: Components) -> bool:
    narrow = (found.deviations < _NARROWEST * x.std(axis=0)).any()
    return bool(narrow or found.weights.min() * len(x) < _FEWEST)
