r"""A mixture as a sum over its components, each of which has an ordinary law.

With weights w_k and components of parameters alpha_k, all functions of the mixture's alpha, moments
and densities of the mixture are sums over k of the components' moments and densities. Their
derivatives follow by the chain rule from d log w_k / d alpha and d alpha_k / d alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.population.priors.prior import StatedPrior


@dataclass(frozen=True)
class Split:
    """A mixture at one alpha.

    Attributes
    ----------
    problems : list of Problem
        The problem with the law of each component in place of the mixture, all of it free.
    log_weights : ndarray of shape (K,)
    of_log_weights : ndarray of shape (K, d_alpha)
    alphas : ndarray of shape (K, d_k)
    of_alpha : ndarray of shape (K, d_k, d_alpha)
        Derivatives of alpha_k in alpha.
    """

    problems: list[Problem]
    log_weights: np.ndarray
    of_log_weights: np.ndarray
    alphas: np.ndarray
    of_alpha: np.ndarray

    @classmethod
    def of(cls, problem: Problem, alpha: np.ndarray) -> Split:
        """Return the split of a problem whose law has components, at alpha (d_alpha,)."""
        law, at = problem.law, torch.from_numpy(np.array(alpha, dtype=float))
        assert law.component is not None
        with torch.enable_grad():
            of_weights, of_alpha = torch.autograd.functional.jacobian(law.split, at)
        log_weights, alphas = (part.detach().numpy() for part in law.split(at))
        problems = []
        for each in of_alpha.numpy():
            # The natural size of a change of the component's parameters.
            size = np.abs(each) @ problem.scale[: problem.d_alpha]
            scale = np.concatenate([size, problem.scale[problem.d_alpha :]])
            problems.append(
                replace(
                    problem,
                    law=law.component,
                    scale=scale,
                    fixed=(),
                    # The prior belongs to the mixture, whose likelihood is the sum.
                    stated_prior=StatedPrior(),
                )
            )
        return cls(problems, log_weights, of_weights.numpy(), alphas, of_alpha.numpy())

    @property
    def weights(self) -> np.ndarray:
        """The weights, (K,)."""
        return np.exp(self.log_weights)

    def in_alpha(self, derivatives: np.ndarray, k: int) -> np.ndarray:
        """Return derivatives in (alpha_k, gamma) along the last axis as those in (alpha, gamma)."""
        size = self.of_alpha.shape[1]
        in_law = derivatives[..., :size] @ self.of_alpha[k]
        return np.concatenate([in_law, derivatives[..., size:]], axis=-1)

    def moments(self, each: Sequence[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        r"""Return the moments of the mixture from the moments of its components, for K groups.

        .. math:: m = \sum_k w_k m_k, \qquad S = \sum_k w_k (S_k + m_k m_k^T) - m m^T,
            \qquad N = \sum_k w_k N_k .

        Parameters
        ----------
        each : sequence of tuples of Tensor
            For each component m (K, d_y), S and N (K, d_y, d_y), and their derivatives (K, n, ...)
            in (alpha_k, gamma), or in alpha_k alone.
        """
        second = []
        for m, s, _, dm, ds, _ in each:
            half = dm[..., None] * m[:, None, None]
            second.append((s + m[:, :, None] * m[:, None], ds + half + half.mT))
        mean, of_mean = self._averaged([(m, dm) for m, _, _, dm, _, _ in each])
        square, of_square = self._averaged(second)
        noise, of_noise = self._averaged([(n, dn) for _, _, n, _, _, dn in each])
        half = of_mean[..., None] * mean[:, None, None]
        signal = square - mean[:, :, None] * mean[:, None]
        return mean, signal, noise, of_mean, of_square - half - half.mT, of_noise

    def _averaged(
        self, each: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean over components of (K, ...), and of its derivatives (K, n, ...)."""
        value, change = torch.zeros_like(each[0][0]), torch.zeros(())
        for k, (x, dx) in enumerate(each):
            dx = self._chained(dx, k)
            own = torch.zeros(dx.shape[1], dtype=x.dtype)
            own[: self.of_log_weights.shape[1]] = torch.from_numpy(self.of_log_weights[k])
            value = value + self.weights[k] * x
            own = own.reshape(-1, *[1] * (x.ndim - 1))
            change = change + self.weights[k] * (dx + own * x[:, None])
        return value, change

    def _chained(self, derivatives: torch.Tensor, k: int) -> torch.Tensor:
        """Return :meth:`in_alpha` of derivatives along the second axis."""
        size = self.of_alpha.shape[1]
        of_alpha = torch.from_numpy(self.of_alpha[k])
        in_law = torch.tensordot(of_alpha.T, derivatives[:, :size], dims=([1], [1])).movedim(0, 1)
        return torch.cat([in_law, derivatives[:, size:]], dim=1)
