"""The keys of the configuration, a page for each section."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from popinv.config.document import readme

__all__ = ["TABLES"]

_STUDY = "`studies.<name>"
# The sections of each page, in the order of the configuration.
_PAGES = {
    "file": ("The whole file", f"{_STUDY}`"),
    "forward": (f"{_STUDY}.forward`",),
    "law": (f"{_STUDY}.law`",),
    "noise": (f"{_STUDY}.noise`",),
    "observations": (f"{_STUDY}.observations`",),
    "computation": tuple(
        f"{_STUDY}.{name}`" for name in ("active_learning", "surrogate", "descent", "polish")
    ),
    "assessment": (f"{_STUDY}.assessment`", f"{_STUDY}.evidence`"),
    "downstream": (f"{_STUDY}.downstream`", "`downstream`"),
}


def sections() -> dict[str, str]:
    """Return the text of each section of keys, by its heading."""
    _, *parts = re.split(r"^### ", readme(), flags=re.MULTILINE)
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


def introduction() -> Iterator[str]:
    """Yield what precedes the keys, without its title."""
    text = re.split(r"^### ", readme(), flags=re.MULTILINE)[0]
    yield text.partition("\n")[2].replace("](../docs/", "](../")


def keys(*headings: str) -> Iterator[str]:
    """Yield sections of keys; the heading of the only section of a page is the page's own."""
    known = sections()
    for heading in headings:
        if len(headings) > 1:
            yield f"## {heading}\n"
        level = "###" if len(headings) > 1 else "##"
        yield re.sub(r"^####", level, known[heading], flags=re.MULTILINE).replace(
            "](../docs/", "](../"
        )


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    "introduction": introduction,
    **{page: partial(keys, *headings) for page, headings in _PAGES.items()},
}
