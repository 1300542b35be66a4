"""Letters as the words that a reader sees."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from popinv.errors import DataError
from popinv_papers.kit import packages
from popinv_papers.kit.text import GROUPS, spam_texts

PLAIN = """From someone@here Thu Aug 22 2002
Return-Path: <someone@here>
Subject: secret group
Content-Type: text/plain; charset=us-ascii

Dear  Sir,
I write  to you.
"""
PAGE = """Subject: x
MIME-Version: 1.0
Content-Type: text/html; charset=no-such-charset

<html><head><title>no</title><style>p {}</style></head>
<body><p>Buy <b>now</b>!</p><script>alert(1)</script></body></html>
"""
BOTH = """Subject: x
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="cut"

--cut
Content-Type: text/html

<p>of the page</p>
--cut
Content-Type: text/plain; charset=iso-8859-1

of the plain part, caf\xe9
--cut--
"""
EMPTY = "Subject: nothing\n\n\n"


def archive(tmp_path, monkeypatch, letters: dict[str, str]):
    path = tmp_path / "letters.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name, letter in letters.items():
            content = json.dumps({"text": letter, "group": "x"}).encode()
            info = tarfile.TarInfo(f"package/data/{name}.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        tar.addfile(tarfile.TarInfo("package/LICENSE"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = packages.Package("letters", "1", digest)
    monkeypatch.setitem(packages.PACKAGES, "spam-assassin", known)
    return path


def test_bodies_are_read_without_headers_and_marks(tmp_path, monkeypatch):
    letters = {f"{group}/1": PLAIN for group in GROUPS}
    letters |= {"spam-1/2": PAGE, "spam-1/3": BOTH, "spam-1/4": EMPTY}
    texts = spam_texts(archive(tmp_path, monkeypatch, letters))
    assert set(texts) == set(GROUPS)
    assert texts["easy-ham-1"] == ["Dear Sir, I write to you."]
    assert texts["spam-1"] == [
        "Dear Sir, I write to you.", "Buy now !", "of the plain part, caf",
    ]  # fmt: skip


def test_a_group_without_letters_is_named(tmp_path, monkeypatch):
    path = archive(tmp_path, monkeypatch, {"spam-1/1": PLAIN})
    with pytest.raises(DataError, match="no letters of the groups easy-ham-1, easy-ham-2"):
        spam_texts(path)
