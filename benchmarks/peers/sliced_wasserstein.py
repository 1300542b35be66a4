"""The squared sliced Wasserstein distance and its gradient, by POT and by plain torch.

Each function takes data (n, d), model points (m, d) and unit directions (d, K), as tensors, and
returns the distance as a tensor of which torch takes the gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

__all__ = ["by_pot", "by_sorting", "with_gradient"]

Distance = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def by_pot(data: torch.Tensor, model: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """Return ``ot.sliced_wasserstein_distance`` squared."""
    import ot

    return ot.sliced_wasserstein_distance(data, model, projections=theta, p=2).square()


def by_sorting(data: torch.Tensor, model: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of the sorted projections; for samples of one size.

    Projections as rows: torch sorts them faster than columns.
    """
    first, second = (torch.sort(theta.T @ sample.T, dim=1).values for sample in (data, model))
    return (first - second).square().mean()


def with_gradient(
    distance: Distance, data: np.ndarray, model: np.ndarray, theta: np.ndarray
) -> Callable[[], tuple[float, np.ndarray]]:
    """Return a function that computes the distance and its gradient in the model points."""
    fixed, moving, frame = (torch.from_numpy(array) for array in (data, model, theta))

    def compute() -> tuple[float, np.ndarray]:
        points = moving.clone().requires_grad_()
        value = distance(fixed, points, frame)
        (gradient,) = torch.autograd.grad(value, points)
        return value.item(), gradient.numpy()

    return compute
