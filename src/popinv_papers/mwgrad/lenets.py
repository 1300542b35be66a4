"""LeNets with two heads, evaluated in parallel.

A network takes 36 x 36 grey images. Its trunk has two convolutions (9 x 9 to 10 maps, 5 x 5 to 20
maps), each with a rectifier and 2 x 2 max-pooling, and a layer of 50 features. Each task has its
own head from the features to ten classes. The 30,890 + 2 x 510 parameters are one particle.
The trunks of n networks are the rows of one array. Their first convolutions are one product of
matrices, as all networks see the same image.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch.nn.functional import conv2d, max_pool2d, relu

from popinv.seeds import generator

TASKS, CLASSES, _FEATURES = 2, 10, 50
# Shape of each layer's weights, with the inputs of an output last. The layer's biases follow.
_SIDE = 9
_TRUNK_LAYERS = ((10, 1, _SIDE, _SIDE), (20, 10, 5, 5), (_FEATURES, 500))
_HEAD_LAYERS = ((CLASSES, _FEATURES),)


def _count(layers: tuple[tuple[int, ...], ...]) -> int:
    return sum(prod(shape) + shape[0] for shape in layers)


TRUNK, HEAD = _count(_TRUNK_LAYERS), _count(_HEAD_LAYERS)


def new_networks(count: int, seed: int, stage: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return trunks (n, TRUNK) and heads (TASKS, n, HEAD) of new networks.

    Weights and biases are uniform within one over the square root of a layer's number of inputs.
    """
    trunks = np.empty((count, TRUNK), dtype=np.float32)
    heads = np.empty((TASKS, count, HEAD), dtype=np.float32)
    for index in range(count):
        rng = generator(seed, stage, index)
        trunks[index] = _new(_TRUNK_LAYERS, rng)
        for task in range(TASKS):
            heads[task, index] = _new(_HEAD_LAYERS, rng)
    return torch.from_numpy(trunks), torch.from_numpy(heads)


def _new(layers: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> np.ndarray:
    return np.concatenate(
        [rng.uniform(-1, 1, prod(shape) + shape[0]) / prod(shape[1:]) ** 0.5 for shape in layers]
    )


def _layers(
    parameters: torch.Tensor, layers: tuple[tuple[int, ...], ...]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weights (n, *shape) and biases (n, outputs) of each layer, as views of (n, P)."""
    parts, start = [], 0
    for shape in layers:
        middle = start + prod(shape)
        end = middle + shape[0]
        weights = parameters[:, start:middle].reshape(-1, *shape)
        parts.append((weights, parameters[:, middle:end]))
        start = end
    return parts


def features(trunks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the features of images (B, 36, 36) by n trunks (n, TRUNK), shape (n, B, 50)."""
    count = len(images)
    (w1, b1), (w2, b2), (w3, b3) = _layers(trunks, _TRUNK_LAYERS)
    patches = images.unfold(1, _SIDE, 1).unfold(2, _SIDE, 1)
    outputs = torch.addmm(
        b1.flatten(), patches.reshape(-1, _SIDE**2), w1.flatten(0, 1).flatten(1).T
    )
    maps = outputs.reshape(*patches.shape[:3], -1).permute(0, 3, 1, 2)
    # The largest of a patch is the same before and after the rectifier, which then has less to do.
    pooled = relu(max_pool2d(maps, 2)).chunk(len(trunks), dim=1)
    each = [
        max_pool2d(conv2d(own, w, b), 2).reshape(count, -1)
        for own, w, b in zip(pooled, w2, b2, strict=True)
    ]
    outputs = relu(torch.stack(each))
    return relu(torch.baddbmm(b3[:, None], outputs, w3.transpose(1, 2)))


def logits(heads: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return one task's logits (n, B, 10) from its heads (n, HEAD) and features (n, B, 50)."""
    ((w, b),) = _layers(heads, _HEAD_LAYERS)
    return torch.baddbmm(b[:, None], outputs, w.transpose(1, 2))
