"""The SpamAssassin corpus: 6046 electronic letters of 2002 in five groups, spam or not.

Only the words that a reader sees are kept: the body, as plain text. Headers would give the group
away. Characters outside ASCII are left out, since letters of that time often do not say their
encoding.
"""

from __future__ import annotations

import json
from email import message_from_string
from email.message import EmailMessage, Message
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

from popinv.errors import DataError
from popinv_papers.kit.packages import members

GROUPS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
_UNSEEN = ("script", "style", "title")


class _Words(HTMLParser):
    """Collects the words of a page that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Enter a tag."""
        self._hidden += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag."""
        self._hidden = max(0, self._hidden - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        """Keep what lies between tags."""
        if not self._hidden:
            self.words += data.split()


def spam_texts(archive: Path) -> dict[str, list[str]]:
    """Return the texts of each group, in the order of their numbers; empty ones are left out.

    Raises
    ------
    DataError
        If the archive is not that of the corpus, or lacks a group.
    """
    texts: dict[str, list[str]] = {group: [] for group in GROUPS}
    files = members(archive, "spam-assassin")
    for name in sorted(files):
        folder, _, file = name.removeprefix("data/").partition("/")
        if folder in texts and file.endswith(".json"):
            words = _body(json.loads(files[name])["text"])
            if words:
                texts[folder].append(words)
    empty = [group for group, found in texts.items() if not found]
    if empty:
        raise DataError(f"{archive}: holds no letters of the groups {', '.join(empty)}")
    return texts


def _body(letter: str) -> str:
    """Return the words of a letter's body; a plain part goes before a page of HTML."""
    if letter.startswith("From "):
        # The first line is the mailbox's, and no header.
        letter = letter.partition("\n")[2]
    message = message_from_string(letter, policy=default)
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    parts.sort(key=lambda part: part.get_content_subtype() != "plain")
    for part in parts:
        readable = _decoded(part).encode("ascii", errors="ignore").decode("ascii")
        words = _seen(readable, part.get_content_subtype())
        if words:
            return words
    return ""


def _decoded(part: Message) -> str:
    """Return a part's text; an unknown encoding is read as Latin-1."""
    try:
        assert isinstance(part, EmailMessage)
        return str(part.get_content())
    except (LookupError, KeyError, ValueError):
        payload = part.get_payload(decode=True)
        return payload.decode("latin-1") if isinstance(payload, bytes) else ""


def _seen(text: str, kind: str) -> str:
    if kind != "html":
        return " ".join(text.split())
    page = _Words()
    page.feed(text)
    return " ".join(page.words)
