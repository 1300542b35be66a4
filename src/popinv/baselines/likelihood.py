r"""The likelihood of a system's parameters, with normal noise about the model's observation.

For system n with noise scale s_n and observed entries o(n),

.. math:: y^{(n)}_o \mid z^{(n)} \sim N\bigl(G(z^{(n)})_o,\; s_n^2\, \Gamma(\gamma)_{oo}\bigr).

Methods that treat systems one by one use it. The descent does not need it.
"""

from __future__ import annotations

import math

import torch

from popinv.inference.problem import Problem

__all__ = ["Whitening", "log_likelihood"]


class Whitening:
    """Map from residuals of the problem's systems to independent standard normal residuals.

    A missing entry is whitened to zero and adds nothing to the likelihood.

    Parameters
    ----------
    problem : Problem
        With N systems.
    gamma : Tensor
        Unconstrained parameters of the noise. Gradients pass through them.
    """

    def __init__(self, problem: Problem, gamma: torch.Tensor) -> None:
        count, d_y = problem.data.shape
        conditions = problem.conditions
        self._scale = torch.ones((count, 1), dtype=torch.float64)
        self._seen: torch.Tensor | None = None
        if conditions is not None and conditions.scale is not None:
            self._scale = torch.from_numpy(conditions.scale)[:, None]
        if conditions is None or conditions.present is None:
            self._factor = problem.noise.cholesky(gamma)
            self._observed = torch.full((count,), float(d_y), dtype=torch.float64)
        else:
            self._seen = torch.from_numpy(conditions.present).to(torch.float64)
            # Missing entries get ones on the diagonal. The determinant and the quadratic form are
            # then those of the observed block.
            covariance = problem.noise.covariance(gamma) * self._seen[:, :, None]
            covariance = covariance * self._seen[:, None, :] + torch.diag_embed(1 - self._seen)
            self._factor = torch.linalg.cholesky(covariance)
            self._observed = self._seen.sum(dim=1)

    def __call__(self, residuals: torch.Tensor) -> torch.Tensor:
        """Return ``L_n^{-1} r_n / s_n`` for residuals (N, d_y), or derivatives (N, d_y, k)."""
        columns = residuals if residuals.ndim == 3 else residuals[:, :, None]
        columns = columns / self._scale[:, :, None]
        if self._seen is None:
            flat = columns.transpose(0, 1).reshape(columns.shape[1], -1)
            solved = torch.linalg.solve_triangular(self._factor, flat, upper=False)
            white = solved.reshape(columns.shape[1], len(columns), -1).transpose(0, 1)
        else:
            seen = columns * self._seen[:, :, None]
            white = torch.linalg.solve_triangular(self._factor, seen, upper=False)
        return white if residuals.ndim == 3 else white[:, :, 0]

    def log_determinants(self) -> torch.Tensor:
        """Return half the log determinant of each system's noise covariance, shape (N,)."""
        diagonal = torch.diagonal(self._factor, dim1=-2, dim2=-1)
        return torch.log(diagonal).sum(dim=-1) + self._observed * torch.log(self._scale[:, 0])

    def log_constants(self) -> torch.Tensor:
        """Return ``log(2 pi) / 2`` times the number of observed entries, shape (N,)."""
        return 0.5 * math.log(2 * math.pi) * self._observed


def log_likelihood(problem: Problem, gamma: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
    """Return log p(y_n | z_n, gamma) of each system, shape (N,).

    Parameters
    ----------
    problem : Problem
    gamma : Tensor
        Unconstrained.
    residuals : Tensor of shape (N, d_y)
        ``y_n - G(z_n)``.
    """
    whitening = Whitening(problem, gamma)
    squares = (whitening(residuals) ** 2).sum(dim=1)
    return -0.5 * squares - whitening.log_determinants() - whitening.log_constants()
