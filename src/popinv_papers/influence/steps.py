r"""One step of an optimiser with frozen state, as an affine map of the gradient.

.. math:: \theta' = \theta - \eta\,(a \odot g + b)

For plain gradient descent a = 1 and b = 0; with momentum b = mu m + lambda theta. For Adam with
decoupled decay, after s steps with moments m and v,

.. math::

    a = \frac{1 - \beta_1}{(1 - \beta_1^{s+1})(\sqrt{\hat v} + \epsilon)}, \quad
    b = \frac{\beta_1}{1 - \beta_1^{s+1}} \frac{m}{\sqrt{\hat v} + \epsilon} + \lambda\theta,
    \quad \hat v = \frac{v}{1 - \beta_2^{s+1}}:

where the second moment does not include the step's own gradient. These are the formulas of the
authors' released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from popinv.errors import ConfigError
from popinv.optimisation.adam import BETAS, EPSILON


@dataclass(frozen=True)
class Step:
    """The vectors a (``scale``) and b (``drift``), each of shape (d,)."""

    scale: Tensor
    drift: Tensor

    def move(self, gradient: Tensor) -> Tensor:
        """Return a g + b, which is subtracted after multiplication by the learning rate."""
        return self.scale * gradient + self.drift


def gradient_step(theta: Tensor) -> Step:
    """Return the step of plain gradient descent."""
    return Step(torch.ones_like(theta), torch.zeros_like(theta))


def momentum_step(
    theta: Tensor, buffer: Tensor, momentum: float = 0.9, weight_decay: float = 0.0
) -> Step:
    """Return the step of gradient descent with momentum, whose buffer is mu m + g."""
    return Step(torch.ones_like(theta), momentum * buffer + weight_decay * theta)


def adam_step(
    theta: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    updates: int,
    betas: tuple[float, float] = BETAS,
    epsilon: float = EPSILON,
    weight_decay: float = 0.0,
) -> Step:
    """Return the step of Adam with frozen second moment and decoupled weight decay.

    Raises
    ------
    ConfigError
        If no step was made yet, so that there is no second moment.
    """
    if updates < 1:
        raise ConfigError(
            f"Adam has made {updates} steps, but its second moment is known after at least 1; "
            "warm up on a few random samples first"
        )
    first, second = betas
    root = (second_moment / (1 - second ** (updates + 1))).sqrt() + epsilon
    left = 1 - first ** (updates + 1)
    return Step(
        (1 - first) / left / root, first / left * first_moment / root + weight_decay * theta
    )
