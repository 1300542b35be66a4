r"""A mixture of normal laws of the transformed parameters.

A system belongs to component k with probability w_k. With a monotone map t_i for each parameter
(:mod:`popinv.population.laws.transforms`), the parameters of a system of component k are
``z_i = t_i(x_i)`` with independent normal x_i of mean m_ki and standard deviation s_ki, so that

.. math:: p(x) = \sum_k w_k \prod_i N(x_i;\, m_{ki},\, s_{ki}^2) .

The components are a model of subpopulations (McLachlan and Peel, Finite Mixture Models, 2000).

The map from omega to x is that of Knothe and Rosenblatt (Rosenblatt, Remarks on a multivariate
transformation, Annals of Mathematical Statistics 23, 1952). Entry by entry, x_i solves

.. math:: \sum_k w_k(x_1, \dots, x_{i-1})\, \Phi\Bigl(\frac{x_i - m_{ki}}{s_{ki}}\Bigr)
    = \Phi(\omega_i), \qquad
    w_k(x_1, \dots, x_i) \propto w_k(x_1, \dots, x_{i-1})\, N(x_i;\, m_{ki}, s_{ki}^2) .

It is smooth and invertible in omega, though a system belongs to one component alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from popinv.population.laws.base import Law
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.laws.mixture.expectation import best_components
from popinv.population.laws.mixture.quantile import log_normal_density, mixture_quantile
from popinv.population.laws.mixture.values import Components, value_names
from popinv.population.laws.transforms import Transform, bounded_columns, unbounded_columns

# Distance between the means of two components that agree, in standard deviations.
_SMALLEST_INCREMENT = 1e-8


class MixtureLaw(Law):
    """A mixture of K normal laws of the transformed parameters.

    alpha holds K - 1 logits, K d means and the logarithms of K d standard deviations, the last two
    component by component. Logit k is that of the weight of component k among the components k, k +
    1, ..., K: the first is the logit of the weight of component 1. The means of one parameter
    increase from component to component, which numbers the components. After the first component,
    alpha holds the logarithms of the increments of these means.

    The likelihood of known parameters is unbounded where a component shrinks to one system.
    :meth:`most_likely` returns a local maximum with components of more than one system.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    transforms : sequence of Transform
        The map of each.
    components : int
        K.
    ordered_by : str, optional
        The parameter whose means increase. The first by default.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Transform],
        components: int,
        ordered_by: str | None = None,
    ) -> None:
        d = len(parameters)
        self.d_z = self.d_omega = d
        self.transforms, self._count = tuple(transforms), components
        self._leader = 0 if ordered_by is None else list(parameters).index(ordered_by)
        self.names = value_names(parameters, components, self._leader)
        increments = [k > 0 and i == self._leader for k in range(components) for i in range(d)]
        self.positive = (*[False] * (components - 1), *increments, *[True] * (components * d))
        self.affine = components == 1 and all(each.kind == "none" for each in transforms)
        if components > 1:
            self.component = GaussianLaw(parameters, transforms)
        self.joint = components > 1 and d > 1

    @property
    def shares(self) -> np.ndarray:
        """True for the first K - 1 entries of alpha."""
        return np.arange(len(self.names)) < self._count - 1

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """True for the parameters whose logarithm is normal in each component."""
        return tuple(transform.kind == "log" for transform in self.transforms)

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to z (n, d_z), differentiable once in alpha and omega."""
        log_weights, means, log_deviations = self._parts(alpha)
        columns: list[torch.Tensor] = []
        for i, transform in enumerate(self.transforms):
            here = (means[..., i], log_deviations[..., i])
            x = mixture_quantile(log_weights, *here, omega[:, i])
            columns.append(transform.bounded(x))
            if i + 1 < self.d_z:
                joint = log_weights + log_normal_density(x[:, None], *here)
                log_weights = torch.log_softmax(joint, dim=-1)
        return torch.stack(columns, dim=1)

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the log density of the mixture, for each row of z (n, d_z)."""
        log_weights, means, log_deviations = self._parts(alpha)
        x = self.unbounded(z)
        each = log_normal_density(x[:, None, :], means, log_deviations).sum(dim=-1)
        slopes = [t.log_slope(x[:, i]) for i, t in enumerate(self.transforms)]
        return torch.logsumexp(log_weights + each, dim=-1) - torch.stack(slopes).sum(dim=0)

    def split(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log weights (K,), and means and log deviations (K, 2 d_z) of the components."""
        log_weights, means, log_deviations = self._parts(alpha)
        return log_weights, torch.cat([means, log_deviations], dim=-1)

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return x for z (..., d_z), column by column."""
        return unbounded_columns(self.transforms, z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return z for x (..., d_z), column by column."""
        return bounded_columns(self.transforms, x)

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
        parts = self._parts(torch.from_numpy(np.asarray(alpha, dtype=float)))
        log_weights, means, log_deviations = (part.numpy() for part in parts)
        return Components(np.exp(log_weights), means, np.exp(log_deviations))

    def unconstrained(self, components: Components) -> np.ndarray:
        """Return alpha (d_alpha,) of components in any order; equal means are moved apart."""
        order = np.argsort(components.means[:, self._leader], kind="stable")
        weights, means, deviations = (array[order] for array in components)
        natural = Components(weights, means, deviations).natural(self._leader)
        alike = np.array(self.positive) & (natural == 0)
        natural[alike] = _SMALLEST_INCREMENT * deviations[:, self._leader].min()
        return self.from_natural(natural.tolist())

    def _parts(self, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return log weights (..., K), means and log deviations (..., K, d_z)."""
        logits, means, log_deviations = alpha.split(
            [self._count - 1, self._count * self.d_z, self._count * self.d_z], dim=-1
        )
        means, log_deviations = (
            part.unflatten(-1, (self._count, self.d_z)) for part in (means, log_deviations)
        )
        leading = means[..., self._leader]
        steps = torch.cat([leading[..., :1], torch.exp(leading[..., 1:])], dim=-1)
        ordered = torch.cumsum(steps, dim=-1)
        columns = list(means.unbind(dim=-1))
        columns[self._leader] = ordered
        return _log_weights(logits), torch.stack(columns, dim=-1), log_deviations


def _log_weights(logits: torch.Tensor) -> torch.Tensor:
    """Return K log weights for the logits of each among those that follow."""
    none = torch.zeros_like(logits[..., :0].sum(dim=-1, keepdim=True))
    own = torch.cat([torch.nn.functional.logsigmoid(logits), none], dim=-1)
    left = torch.cumsum(torch.nn.functional.logsigmoid(-logits), dim=-1)
    return own + torch.cat([none, left], dim=-1)
