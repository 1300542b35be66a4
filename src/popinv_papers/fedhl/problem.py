"""The test problem: digits to clothes, kinds of texts, and a regression, over several seeds.

The paper's tables were not readable to us, so that clients, ranks, divisions, networks and data are
choices of this package.

Images are averaged to 14 x 14 pixels. A network with two hidden layers is trained on digits of
MNIST. Then clients, each with a part of some images of Fashion-MNIST, adapt its three weight
matrices, while its biases stay fixed. The ten outputs for the digits also serve as the classes of
clothes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn

from popinv.seeds import generator
from popinv_papers.fedhl.accuracies import Adaptation, Division, Labelled, Training, accuracies
from popinv_papers.fedhl.lora import ModuleLoss, shapes_of
from popinv_papers.fedhl.texts import ADAPTED, Bank, Passages, bank, sides
from popinv_papers.kit.images import ImageSet, pooled
from popinv_papers.kit.text import brown_passages, letter_passages

PROBLEMS = {
    "digits": "digits to clothes",
    "brown": "MiniLM, Brown's categories",
    "letters": "MiniLM, groups of letters",
}
DIVISIONS = tuple(Division(10, concentration) for concentration in (0.1, 0.5, 1.0, np.inf))
_MANY = Division(100, 0.5)


@dataclass(frozen=True)
class ImagesSize:
    """Numbers of images and of pretraining steps, and the width of the network."""

    training: Training
    train: int
    test: int
    width: int
    pretraining: int


@dataclass(frozen=True)
class FedhlSize:
    """Sizes of all parts, and the number of seeds."""

    digits: ImagesSize
    brown: tuple[Passages, Training]
    letters: tuple[Passages, Training]
    seeds: int
    regression_rounds: int
    horizons: tuple[int, ...]
    floor_rounds: int


SIZES = {
    "workstation": FedhlSize(
        ImagesSize(Training((Division(10, 0.5),), 15, 5, 20), 4000, 1000, 128, 400),
        (Passages(of_kind=160), Training((*DIVISIONS, _MANY), 8, 4, 8)),
        (Passages(of_kind=200), Training(DIVISIONS, 6, 4, 6)),
        5,
        100,
        (25, 50, 100),
        200,
    ),
    # The paper's own sizes are unknown to us; this one has all images, and most passages.
    "paper": FedhlSize(
        ImagesSize(Training((*DIVISIONS, _MANY), 100, 20, 20), 60_000, 10_000, 256, 4000),
        (Passages(of_kind=1000), Training((*DIVISIONS, _MANY), 50, 10, 16)),
        (Passages(of_kind=1000), Training((*DIVISIONS, _MANY), 50, 10, 16)),
        5,
        400,
        (100, 200, 400, 800),
        1600,
    ),
}


_POOL, _CLASSES = 2, 10
_PRETRAINING_RATE, _PRETRAINING_BATCH = 2e-3, 100


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


def digits(digit_images: ImageSet, clothes: ImageSet, size: ImagesSize, seed: int) -> Adaptation:
    """Return a seed's network, trained on its digits, and its clothes."""
    ours, theirs = (
        chosen_images(images, min(size.train, len(images.train)), size.test, seed, f"fedhl/{name}")
        for name, images in (("digits", digit_images), ("clothes", clothes))
    )
    net = pretrained(ours, size.width, size.pretraining, seed)
    loss = ModuleLoss(net, nn.functional.cross_entropy)
    return Adaptation("digits", loss, shapes_of(net), theirs, seed)


def held_back(images: ImageSet, seed: int) -> ImageSet:
    """Return the training images alone, a random sixth of them as test images.

    A set may be ordered by class, so that its last images would be of few classes.
    """
    order = generator(seed, "fedhl/held_back").permutation(len(images.train))
    train, test = np.split(order, [len(order) - len(order) // 6])
    pixels, labels = images.train, images.train_labels
    return ImageSet(pixels[train], labels[train], pixels[test], labels[test])


def digits_to_clothes(
    digit_images: ImageSet, clothes: ImageSet, size: ImagesSize, seeds: list[int]
) -> xr.Dataset:
    """Return the accuracies of the first problem. The pilot has the seed after the last."""
    other = seeds[-1] + 1
    pilot = digits(digit_images, held_back(clothes, other), size, other)
    ones = (digits(digit_images, clothes, size, seed) for seed in seeds)
    return accuracies(size.training, pilot, ones)


def texts(problem: str, given: Bank, seed: int, pilot: bool = False) -> Adaptation:
    """Return the encoder's last block and a head, and a seed's passages."""
    shapes = {name: shape for name, shape in shapes_of(given.module).items() if name in ADAPTED}
    loss = ModuleLoss(given.module, nn.functional.cross_entropy)
    return Adaptation(problem, loss, shapes, sides(given, seed, pilot), seed)


def kinds_of_texts(problem: str, given: Bank, training: Training, seeds: list[int]) -> xr.Dataset:
    """Return the accuracies of a problem of texts. The pilot has the seed after the last."""
    pilot = texts(problem, given, seeds[-1] + 1, pilot=True)
    return accuracies(training, pilot, (texts(problem, given, seed) for seed in seeds))


def text_banks(
    brown: Path, letters: Path, weights: Path, size: FedhlSize, seeds: list[int]
) -> Iterator[xr.Dataset]:
    """Yield the accuracies of both problems of texts, from the archives of the packages."""
    for problem, read, archive, (passages, training) in (
        ("brown", brown_passages, brown, size.brown),
        ("letters", letter_passages, letters, size.letters),
    ):
        found = read(archive, passages.words)
        given = bank(problem, found, weights, passages, seeds[0])
        yield kinds_of_texts(problem, given, training, seeds)


def seeds_of(size: FedhlSize, seed: int) -> list[int]:
    """Return the seeds of the repetitions; the next one is the pilot's."""
    return list(range(seed, seed + size.seeds))


def merged(*parts: xr.Dataset) -> xr.Dataset:
    """Return all parts as one Dataset."""
    return xr.merge(parts, join="exact", combine_attrs="drop_conflicts")
