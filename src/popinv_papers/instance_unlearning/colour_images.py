"""Colour images from the user's folder: CIFAR-10's binary version, or SVHN's cropped digits.

CIFAR-10 consists of ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, with
records of a label and 3072 bytes: the red, then the green, then the blue values. SVHN consists of
``train_32x32.mat`` and ``test_32x32.mat``, with arrays ``X`` (32, 32, 3, n) and ``y``, in which 10
means the digit zero.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from popinv.errors import DataError
from popinv_papers.kit.images import ImageSet

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
        f"{_CIFAR[-1]}) or those of SVHN ({', '.join(_SVHN)})"
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
        raise DataError(f"{file}: X {images.shape} and y {labels.shape} are not those of SVHN")
    return images.transpose(3, 0, 1, 2), (labels % 10).astype(np.uint8)
