"""A descent as it was formulated before: torch autograd, torch.sort, Adam.

The loss is (d_y / 2) SW^2 of the whitened samples, with fresh independent directions in every
iteration, both samples sorted in every iteration, and Adam with a learning rate halved at each
quarter of the run (Vadeboncoeur, Girolami and Stuart, arXiv 2405.17955, where the noise is known).
The noise is unknown here, as in arXiv 2505.19841: the covariance that whitens is held fixed while
differentiating.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers.sliced_wasserstein import by_sorting
from popinv.inference.density.problem import Problem

__all__ = ["Predecessor"]


class Predecessor:
    """The iterate of this descent.

    Parameters
    ----------
    problem : Problem
        Data, law, noise and the surrogate to descend through.
    start : ndarray of shape (n_p,)
        (alpha, gamma), unconstrained.
    directions : int
    iterations : int
        Length of the run, of which each quarter halves the learning rate.
    learning_rate : float
        Learning rate at the start.
    seed : int
        Seed of torch's generator.
    """

    def __init__(
        self,
        problem: Problem,
        start: np.ndarray,
        directions: int,
        iterations: int,
        learning_rate: float = 1e-2,
        seed: int = 0,
    ) -> None:
        self.problem, self.directions = problem, directions
        self.p = torch.from_numpy(start.copy()).requires_grad_()
        self._data = torch.from_numpy(problem.data)
        self._adam = torch.optim.Adam([self.p], lr=learning_rate)
        self._schedule = torch.optim.lr_scheduler.StepLR(
            self._adam, step_size=max(1, iterations // 4), gamma=0.5
        )
        self._random = torch.Generator().manual_seed(seed)

    def loss(self, omega: torch.Tensor, e: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Return the loss at the present point for given draws and directions."""
        problem = self.problem
        alpha, gamma = self.p[: problem.d_alpha], self.p[problem.d_alpha :]
        factor = problem.noise.cholesky(gamma)
        sample = problem.simulate(problem.law.sample(alpha, omega)) + e @ factor.T
        metric = factor.detach()

        def white(y: torch.Tensor) -> torch.Tensor:
            return torch.linalg.solve_triangular(metric, y.T, upper=False).T

        return self._data.shape[1] / 2 * by_sorting(white(self._data), white(sample), theta)

    def iterate(self) -> float:
        """Make one iteration and return its loss."""
        count, d_y = self._data.shape
        omega, e, theta = (
            torch.randn(shape, generator=self._random, dtype=torch.float64)
            for shape in ((count, self.problem.law.d_omega), (count, d_y), (d_y, self.directions))
        )
        self._adam.zero_grad()
        loss = self.loss(omega, e, theta / theta.norm(dim=0))
        loss.backward()
        self._adam.step()
        self._schedule.step()
        return loss.item()
