"""Stacks of classifiers: weights with a leading axis that numbers the models.

The models of a stack have one shape and see the same images, so a large stack costs little more
than one model. No layer normalises over a batch, since the gradient of a point must not depend on
other points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import conv2d, cross_entropy, group_norm, unfold

# Name of a layer's weights to its tensor.
Weights = dict[str, torch.Tensor]
Norms = Callable[[Weights, torch.Tensor, torch.Tensor], torch.Tensor]

_GROUPS = 4
_STRIDE = 2


@dataclass(frozen=True)
class Network:
    """A classifier as a function of its weights.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Shapes of the weights of one model.
    logits : callable
        Maps weights of one model and images (n, channels, rows, columns) to logits (n, classes).
    norms_of_one : callable
        The norm of every image's gradient, as :meth:`norms`, for one model in closed form.
    """

    shapes: dict[str, tuple[int, ...]]
    logits: Callable[[Weights, torch.Tensor], torch.Tensor]
    norms_of_one: Norms

    def initial(self, rng: np.random.Generator) -> Weights:
        """Draw the weights of one model: normal with variance 2 / fan-in, and zero offsets."""
        drawn = {}
        for name, shape in self.shapes.items():
            values = np.zeros(shape)
            if len(shape) > 1:
                # The dense layer is (in, out), convolutions (out, in, rows, columns).
                fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
                values = rng.standard_normal(shape) * math.sqrt(2 / fan_in)
            drawn[name] = torch.from_numpy(values.astype(np.float32))
        return drawn

    def losses(self, weights: Weights, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of every image, shape (n,)."""
        return cross_entropy(self.logits(weights, images), labels, reduction="none")

    def norms(self, weights: Weights, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the norm of every image's gradient for a stack of models, shape (models, n)."""
        with torch.no_grad():
            return torch.func.vmap(self.norms_of_one, in_dims=(0, None, None))(
                weights, images, labels
            )


def network(shape: tuple[int, int, int], classes: int, width: int) -> Network:
    """Return a classifier of images: two convolutions with group normalisation.

    The shape is (channels, rows, columns). The first convolution has ``width`` channels, the second
    twice as many.
    """
    channels, rows, columns = shape

    def reduced(length: int, kernel: int) -> int:
        return (length - kernel) // _STRIDE + 1

    def hidden(
        weights: Weights, layer: str, images: torch.Tensor, added: torch.Tensor | float = 0.0
    ) -> torch.Tensor:
        out = conv2d(images, weights[layer], weights[f"{layer}_offset"], stride=_STRIDE)
        return torch.relu(group_norm(out + added, _GROUPS))

    def logits(weights: Weights, images: torch.Tensor) -> torch.Tensor:
        second = hidden(weights, "second", hidden(weights, "first", images))
        return second.flatten(1) @ weights["last"] + weights["last_offset"]

    def norms(weights: Weights, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # Zeros are added to what comes out of each layer. An image's loss depends on its own zeros
        # alone, so one derivative of the sum gives the slopes of all images.
        def total(added: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            first = hidden(weights, "first", images, added[0])
            second = hidden(weights, "second", first, added[1])
            out = second.flatten(1) @ weights["last"] + weights["last_offset"] + added[2]
            return cross_entropy(out, labels, reduction="sum"), (images, first, second.flatten(1))

        sides = [(reduced(length, 5), reduced(reduced(length, 5), 3)) for length in (rows, columns)]
        zeros = tuple(
            torch.zeros(len(images), *shape)
            for shape in (
                (width, sides[0][0], sides[1][0]),
                (2 * width, sides[0][1], sides[1][1]),
                (classes,),
            )
        )
        slopes, inputs = torch.func.grad(total, has_aux=True)(zeros)
        square = (1 + inputs[2].square().sum(dim=1)) * slopes[2].square().sum(dim=1)
        for layer, side in ((0, 5), (1, 3)):
            # A convolution is a product with the squares of the image that it sees.
            seen = unfold(inputs[layer], side, stride=_STRIDE)
            slope = slopes[layer].flatten(2)
            square = square + (slope @ seen.transpose(1, 2)).square().sum(dim=(1, 2))
            square = square + slope.sum(dim=2).square().sum(dim=1)
        return square.sqrt()

    return Network(
        {
            "first": (width, channels, 5, 5),
            "first_offset": (width,),
            "second": (2 * width, width, 3, 3),
            "second_offset": (2 * width,),
            "last": (
                2 * width * math.prod(reduced(reduced(side, 5), 3) for side in (rows, columns)),
                classes,
            ),
            "last_offset": (classes,),
        },
        logits,
        norms,
    )


def stacked(weights: list[Weights]) -> Weights:
    """Stack models along a new first axis."""
    return {name: torch.stack([w[name] for w in weights]) for name in weights[0]}


def taken(weights: Weights, models: np.ndarray) -> Weights:
    """Return some models of a stack as a stack; a model may occur several times."""
    index = torch.from_numpy(np.asarray(models, dtype=np.int64))
    return {name: values[index] for name, values in weights.items()}
