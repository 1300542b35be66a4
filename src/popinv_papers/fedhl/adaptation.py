"""Adaptation of a small network from digits to clothes by a federation.

Labelled are averaged to 14 x 14 pixels. A network with two hidden layers is trained on digits of
MNIST. Then clients, each with a part of some images of Fashion-MNIST, adapt its three weight
matrices, while its biases stay fixed. The ten outputs for the digits also serve as the classes of
clothes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from popinv.seeds import generator
from popinv_papers.fedhl.clients import Gradient
from popinv_papers.fedhl.lora import Dense, ModuleLoss, apply
from popinv_papers.kit.images import ImageSet, pooled

_POOL, _CLASSES = 2, 10
_PRETRAINING_RATE, _PRETRAINING_BATCH = 2e-3, 100


@dataclass(frozen=True)
class Labelled:
    """What a module reads, and classes, to train and to test with.

    Attributes
    ----------
    x, test_x : Tensor of float32, shape (n, ...)
        Averaged images with values from -0.5 to 0.5, (n, 196), or states of texts.
    labels, test_labels : Tensor of int64, shape (n,)
    """

    x: torch.Tensor
    labels: torch.Tensor
    test_x: torch.Tensor
    test_labels: torch.Tensor

    def largest_class(self) -> float:
        """Return the share of the largest class among those to test with."""
        return float(self.test_labels.bincount().max()) / len(self.test_labels)


def chosen_images(images: ImageSet, train: int, test: int, seed: int, stage: str) -> Labelled:
    """Return random images, averaged over squares of four pixels."""
    rng = generator(seed, f"{stage}/images")
    parts: list[torch.Tensor] = []
    for count, pixels, labels in (
        (train, images.train, images.train_labels),
        (test, images.test, images.test_labels),
    ):
        rows = rng.choice(len(pixels), count, replace=False)
        parts.append(torch.from_numpy(pooled(pixels[rows], _POOL) - 0.5).float())
        parts.append(torch.from_numpy(labels[rows].astype(np.int64)))
    return Labelled(*parts)


def network(inputs: int, width: int, seed: int) -> nn.Module:
    """Return an untrained network of two hidden layers."""
    net = nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, _CLASSES),
    )
    rng = generator(seed, "fedhl/network")
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                draw = rng.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(draw * np.sqrt(2 / parameter.shape[1])))
            else:
                parameter.zero_()
    return net


def pretrained(images: Labelled, width: int, steps: int, seed: int) -> nn.Module:
    """Return the network trained on the images by Adam."""
    net = network(images.x.shape[1], width, seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=_PRETRAINING_RATE)
    for step in range(steps):
        rng = generator(seed, "fedhl/pretraining", step)
        rows = torch.from_numpy(rng.integers(len(images.x), size=_PRETRAINING_BATCH))
        loss = nn.functional.cross_entropy(net(images.x[rows]), images.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net


def minibatches(
    loss: ModuleLoss,
    x: torch.Tensor,
    target: torch.Tensor,
    parts: Sequence[np.ndarray],
    batch: int,
    seed: int,
    stage: str,
) -> Gradient:
    """Return the gradients of clients' losses on rows drawn from their own parts.

    Parameters
    ----------
    x, target : Tensor
        Rows of all clients.
    parts : sequence of ndarray of int
        Each client's rows, drawn with repetition, since some clients have few.
    seed, stage : int, str
        Address of the draws. Those of a client do not depend on the other clients.
    """

    def gradient(dense: Dense, clients: np.ndarray, number: int, step: int) -> Dense:
        rows = []
        for client in clients:
            rng = generator(seed, f"{stage}/batch/{client}/{step}", number)
            rows.append(parts[client][rng.integers(len(parts[client]), size=batch)])
        chosen = torch.from_numpy(np.array(rows))
        return loss.gradients(dense, x[chosen], target[chosen])

    return gradient


def accuracy(module: nn.Module, increments: Dense, data: Labelled) -> float:
    """Return the accuracy on what is there to test with."""
    with torch.no_grad():
        told = apply(module, increments, data.test_x).argmax(dim=1)
    return float((told == data.test_labels).double().mean())
