r"""A step of Adam as a pure function of its arguments, on arrays and on tensors.

.. math::

    m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2,
    \quad \theta_t = \theta_{t-1} - \eta \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon},
    \quad \hat m_t = \frac{m_t}{1 - \beta_1^t}, \ \hat v_t = \frac{v_t}{1 - \beta_2^t}

The optimisers of torch hide m, v and t. Here they are part of a method's state.

Source: Kingma and Ba (ICLR 2015).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from popinv.late import torch

BETAS = (0.9, 0.999)
EPSILON = 1e-8

Array = TypeVar("Array", np.ndarray, "torch.Tensor")


def adam(
    gradient: Array,
    first: Array,
    second: Array,
    updates: int,
    square: Array | None = None,
    betas: tuple[float, float] = BETAS,
    epsilon: float = EPSILON,
) -> tuple[Array, Array, Array, Array]:
    """Return the new moments, and the numerator and denominator of the step.

    Parameters
    ----------
    gradient : array or Tensor
        g_t.
    first, second : array or Tensor
        m and v before the step, zero before the first; shape of the gradient.
    updates : int
        t, 1 in the first step.
    square : array or Tensor, optional
        Replaces g_t^2.
    betas : (float, float)

    Returns
    -------
    first, second : array or Tensor
        m_t and v_t.
    mean, root : array or Tensor
        The numerator and the denominator of the step.
    """
    square = gradient**2 if square is None else square
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * square
    mean = first / (1 - betas[0] ** updates)
    root = (second / (1 - betas[1] ** updates)) ** 0.5 + epsilon
    return first, second, mean, root
