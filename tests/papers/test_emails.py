"""Letters as the words that a reader sees."""

from __future__ import annotations

import json

import pytest
import test_images

from popinv.errors import DataError
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


archive_of = test_images.archive_of


def files_of(letters: dict[str, str]) -> dict[str, bytes]:
    files = {name: json.dumps({"text": text, "group": "x"}) for name, text in letters.items()}
    return {"LICENSE": b""} | {f"data/{n}.json": content.encode() for n, content in files.items()}


def test_bodies_are_read_without_headers_and_marks(archive_of):
    letters = {f"{group}/1": PLAIN for group in GROUPS}
    letters |= {"spam-1/2": PAGE, "spam-1/3": BOTH, "spam-1/4": EMPTY}
    texts = spam_texts(archive_of("spam-assassin", files_of(letters)))
    assert set(texts) == set(GROUPS)
    assert texts["easy-ham-1"] == ["Dear Sir, I write to you."]
    assert texts["spam-1"] == [
        "Dear Sir, I write to you.", "Buy now !", "of the plain part, caf",
    ]  # fmt: skip


def test_a_group_without_letters_is_named(archive_of):
    path = archive_of("spam-assassin", files_of({"spam-1/1": PLAIN}))
    with pytest.raises(DataError, match="no letters of the groups easy-ham-1, easy-ham-2"):
        spam_texts(path)
