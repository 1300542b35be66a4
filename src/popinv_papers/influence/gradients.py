r"""Losses as functions of one vector of weights, and their derivatives.

A function of losses maps theta, shape (d,), and samples, tensors with n rows each, to the n
losses. ``torch.func`` computes everything else from it: gradients of single samples by reverse mode
under ``vmap``, products with them by forward mode, products with the Hessian by forward over
reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from popinv.errors import ConfigError

Samples = Sequence[Tensor]
Losses = Callable[..., Tensor]

_ROWS = 256


@dataclass(frozen=True)
class Flat:
    """A network as a function of one vector of weights.

    Attributes
    ----------
    module : torch.nn.Module
        The module from which the fixed weights are read.
    shapes : dict of str to torch.Size
        Shapes of the variable weights, in the order of the vector.
    """

    module: nn.Module
    shapes: dict[str, torch.Size]

    @classmethod
    def of(cls, module: nn.Module, only: Callable[[str], bool] = lambda name: True) -> Flat:
        """Collect the weights of a network whose names ``only`` accepts.

        Raises
        ------
        ConfigError
            If it accepts no name.
        """
        shapes = {name: p.shape for name, p in module.named_parameters() if only(name)}
        if not shapes:
            names = ", ".join(name for name, _ in module.named_parameters())
            raise ConfigError(f"no weight of the network is chosen; its weights are {names}")
        return cls(module, shapes)

    @property
    def theta(self) -> Tensor:
        """The network's variable weights as a copy, shape (d,)."""
        named = dict(self.module.named_parameters())
        return torch.cat([named[name].detach().reshape(-1) for name in self.shapes])

    def __call__(self, theta: Tensor, *inputs: Any, **options: Any) -> Tensor:
        """Return the network's output with these weights."""
        pieces = theta.split([shape.numel() for shape in self.shapes.values()])
        # Copies, since complex weights can only be read at even places of their storage.
        weights = {
            name: piece.clone().view(shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }
        return functional_call(self.module, weights, inputs, options)


def parts(samples: Samples, rows: int = _ROWS) -> Iterator[tuple[Tensor, ...]]:
    """Yield ``rows`` samples at a time."""
    return zip(*(tensor.split(rows) for tensor in samples), strict=True)


def sample_gradients(losses: Losses, theta: Tensor, samples: Samples, rows: int = _ROWS) -> Tensor:
    """Return G, the gradient of every sample's loss, shape (n, d)."""

    def of_one(weights: Tensor, *sample: Tensor) -> Tensor:
        return losses(weights, *(tensor[None] for tensor in sample))[0]

    of_all = vmap(grad(of_one), in_dims=(None, *[0] * len(samples)))
    return torch.cat([of_all(theta, *part).detach() for part in parts(samples, rows)])


def mean_loss(losses: Losses, theta: Tensor, samples: Samples, rows: int = 4096) -> float:
    """Return the mean loss."""
    with torch.no_grad():
        total = sum(float(losses(theta, *part).sum()) for part in parts(samples, rows))
    return total / len(samples[0])


def mean_gradient(losses: Losses, theta: Tensor, samples: Samples, rows: int = _ROWS) -> Tensor:
    """Return the gradient of the mean loss, shape (d,)."""
    of_sum = grad(lambda weights, *part: losses(weights, *part).sum())
    total = torch.zeros_like(theta)
    for part in parts(samples, rows):
        total += of_sum(theta, *part).detach()
    return total / len(samples[0])


def directional_derivatives(
    losses: Losses, theta: Tensor, samples: Samples, direction: Tensor, rows: int = _ROWS
) -> Tensor:
    """Return G v, shape (n,), by one pass of forward mode, without computing G."""
    products = [
        jvp(lambda weights, part=part: losses(weights, *part), (theta,), (direction,))[1]
        for part in parts(samples, rows)
    ]
    return torch.cat(products).detach()


def hessian_product(
    losses: Losses, theta: Tensor, samples: Samples, direction: Tensor, rows: int = _ROWS
) -> Tensor:
    """Return H v for the Hessian H of the mean loss, shape (d,), by forward over reverse mode."""
    total = torch.zeros_like(theta)
    for part in parts(samples, rows):
        gradient = grad(lambda weights, part=part: losses(weights, *part).sum())
        total += jvp(gradient, (theta,), (direction,))[1].detach()
    return total / len(samples[0])
