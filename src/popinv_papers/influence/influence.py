r"""Influence of a weighted step on the pool on the target's loss.

A function of losses maps theta, shape (d,), and samples, tensors with n rows each, to the n losses.
``torch.func`` computes everything else from it: gradients of single samples by reverse mode under
``vmap``, products with them by forward mode, products with the Hessian by forward over reverse
mode.

One step of an optimiser with frozen state is an affine map of the gradient g,

.. math:: \theta' = \theta - \eta\,(a \odot g + b)

For plain gradient descent a = 1 and b = 0. For Adam with decoupled decay, after s steps with
moments m and v,

.. math::

    a = \frac{1 - \beta_1}{(1 - \beta_1^{s+1})(\sqrt{\hat v} + \epsilon)}, \quad
    b = \frac{\beta_1}{1 - \beta_1^{s+1}} \frac{m}{\sqrt{\hat v} + \epsilon} + \lambda\theta,
    \quad \hat v = \frac{v}{1 - \beta_2^{s+1}}:

where the second moment does not include the step's own gradient. These are the formulas of the
authors' released code.

On n samples with weights w, g is G^T w / n. The second-order expansion of the target's loss L_T,
with gradient g and Hessian H, is up to a constant

.. math::

    L_T(\theta') - L_T(\theta) = \frac{\eta}{n} f(w) + \text{const}, \quad
    f(w) = -p^\top w + \frac{\eta}{2} w^\top Q w,

    p = G\,(a \odot (g - \eta H b)), \qquad Q = \frac{1}{n} G\,(a \odot H\,(a \odot G^\top \cdot)).

For gradient descent (a = 1, b = 0) these are the paper's p and Q. Adam's first-order p = G (a g)
follows the released code. The rest is derived anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from popinv.errors import ConfigError
from popinv.optimisation.adam import BETAS, EPSILON

Samples = Sequence[Tensor]
Losses = Callable[..., Tensor]

# Samples, and numbers in their gradients, that are held at a time.
_ROWS, _HELD = 256, 2e7


@dataclass(frozen=True)
class Flat:
    """A network as a function of one vector of weights.

    The vector has the weights of these names and ``shapes``, in their order. The other weights are
    fixed, and are read from the module.
    """

    module: nn.Module
    shapes: dict[str, torch.Size]

    @classmethod
    def of(cls, module: nn.Module, only: Callable[[str], bool] = lambda name: True) -> Flat:
        """Collect the weights of a network whose names ``only`` accepts."""
        return cls(module, {n: p.shape for n, p in module.named_parameters() if only(n)})

    @property
    def theta(self) -> Tensor:
        """The network's variable weights as a copy, shape (d,)."""
        named = dict(self.module.named_parameters())
        return torch.cat([named[name].detach().reshape(-1) for name in self.shapes])

    def __call__(self, theta: Tensor, *inputs: Any, **options: Any) -> Tensor:
        """Return the network's output with these weights."""
        pieces = theta.split([shape.numel() for shape in self.shapes.values()])
        weights = {
            name: piece.view(shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }
        return functional_call(self.module, weights, inputs, options)


def rows_held(theta: Tensor) -> int:
    """Return the number of samples whose gradients are held at a time."""
    return int(min(max(_HELD / len(theta), 1), _ROWS))


def parts(samples: Samples, rows: int = _ROWS) -> Iterator[tuple[Tensor, ...]]:
    """Yield ``rows`` samples at a time."""
    return zip(*(tensor.split(rows) for tensor in samples), strict=True)


def sample_gradients(losses: Losses, theta: Tensor, samples: Samples, rows: int = _ROWS) -> Tensor:
    """Return G, the gradient of every sample's loss, shape (n, d)."""

    def of_one(weights: Tensor, *sample: Tensor) -> Tensor:
        return losses(weights, *(tensor[None] for tensor in sample))[0]

    of_all = vmap(grad(of_one), in_dims=(None, *[0] * len(samples)))
    return torch.cat([of_all(theta, *part).detach() for part in parts(samples, rows)])


def mean_loss(losses: Losses, theta: Tensor, samples: Samples) -> float:
    """Return the mean loss."""
    with torch.no_grad():
        total = sum(float(losses(theta, *part).sum()) for part in parts(samples, 4096))
    return total / len(samples[0])


def mean_gradient(losses: Losses, theta: Tensor, samples: Samples, rows: int = _ROWS) -> Tensor:
    """Return the gradient of the mean loss, shape (d,)."""
    of_sum = grad(lambda weights, *part: losses(weights, *part).sum())
    total = torch.zeros_like(theta)
    for part in parts(samples, rows):
        total += of_sum(theta, *part).detach()
    return total / len(samples[0])


def hessian_product(
    losses: Losses, theta: Tensor, samples: Samples, direction: Tensor, rows: int = _ROWS
) -> Tensor:
    """Return H v for the Hessian H of the mean loss, shape (d,), by forward over reverse mode."""
    total = torch.zeros_like(theta)
    for part in parts(samples, rows):
        gradient = grad(lambda weights, part=part: losses(weights, *part).sum())
        total += jvp(gradient, (theta,), (direction,))[1].detach()
    return total / len(samples[0])


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


HessianProduct = Callable[[Tensor], Tensor]


def scores_of(gradients: Tensor, target_gradient: Tensor, step: Step) -> Tensor:
    """Return the first-order scores p = G (a g), shape (n,)."""
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
    """
    return unit(gradients * step.scale) @ unit(target_gradients).T


def unit(rows: Tensor) -> Tensor:
    """Return rows of length one; one that vanishes stays so."""
    norm = rows.norm(dim=1, keepdim=True)
    return torch.where(norm > 0, rows / norm.clamp_min(torch.finfo(rows.dtype).tiny), 0.0)
