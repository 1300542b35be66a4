r"""Influence of a weighted step on the pool on the target's loss.

The step on n samples with weights w is theta' = theta - eta (a * G^T w / n + b); see
:mod:`popinv_papers.influence.steps`. The second-order expansion of the target's loss L_T,
with gradient g and Hessian H, is up to a constant

.. math::

    L_T(\theta') - L_T(\theta) = \frac{\eta}{n} f(w) + \text{const}, \quad
    f(w) = -p^\top w + \frac{\eta}{2} w^\top Q w,

    p = G\,(a \odot (g - \eta H b)), \qquad Q = \frac{1}{n} G\,(a \odot H\,(a \odot G^\top \cdot)).

For gradient descent (a = 1, b = 0) these are the paper's p and Q. Adam's first-order p = G (a g)
is that of the released code. The rest is derived anew.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from popinv_papers.influence.steps import Step

HessianProduct = Callable[[Tensor], Tensor]


def scores_of(gradients: Tensor, target_gradient: Tensor, step: Step) -> Tensor:
    """Return the first-order scores p = G (a g), shape (n,).

    Parameters
    ----------
    gradients : Tensor of shape (n, d)
        G, the gradients of the pool's samples.
    target_gradient : Tensor of shape (d,)
        g, the gradient of the target's mean loss.
    """
    return gradients @ (step.scale * target_gradient)


def linear_scores(
    gradients: Tensor,
    target_gradient: Tensor,
    step: Step,
    rate: float,
    hessian: HessianProduct,
) -> Tensor:
    """Return p = G (a (g - eta H b)), shape (n,), the linear term of the second-order form."""
    drift = hessian(step.drift) if bool((step.drift != 0).any()) else torch.zeros_like(step.drift)
    return gradients @ (step.scale * (target_gradient - rate * drift))


def quadratic_matrix(gradients: Tensor, step: Step, hessian: HessianProduct) -> Tensor:
    """Return Q, shape (n, n), by one product with the Hessian for each sample."""
    scaled = gradients * step.scale
    curved = torch.stack([hessian(row) for row in scaled])
    matrix = scaled @ curved.T / len(gradients)
    # Only rounding makes it unsymmetric.
    return (matrix + matrix.T) / 2


def predicted_change(
    move: Tensor, target_gradient: Tensor, rate: float, hessian: HessianProduct | None = None
) -> float:
    """Return the first- or second-order change of the target's loss due to a step.

        -eta g^T u + (eta^2 / 2) u^T H u,    theta' = theta - eta u

    Parameters
    ----------
    move : Tensor of shape (d,)
        u, for example ``step.move(gradients.T @ w / n)``.
    target_gradient : Tensor of shape (d,)
    rate : float
        eta.
    hessian : callable, optional
        Products with H. Without it the second-order term is left out.
    """
    change = -rate * float(target_gradient @ move)
    if hessian is not None:
        change += 0.5 * rate**2 * float(move @ hessian(move))
    return change


def cosine_scores(gradients: Tensor, target_gradients: Tensor, step: Step) -> Tensor:
    """Return the cosine of a * g_i with every target sample's gradient, shape (n, m).

    As in the released code, a scales only the pool's gradients. A gradient that vanishes has
    cosine 0.

    Parameters
    ----------
    gradients, target_gradients : Tensor of shape (n, d) and (m, d)
    """
    return _unit(gradients * step.scale) @ _unit(target_gradients).T


def _unit(rows: Tensor) -> Tensor:
    norm = rows.norm(dim=1, keepdim=True)
    return torch.where(norm > 0, rows / norm.clamp_min(torch.finfo(rows.dtype).tiny), 0.0)
