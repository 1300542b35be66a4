"""Names, numbers, times and sizes as a page writes them."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

__all__ = ["duration", "inline", "memory", "number", "readable", "rounded"]


def readable(name: str) -> str:
    """Return a name with spaces."""
    return name.replace("_", " ")


def rounded(value: float | int | str | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, as text with a proper minus sign."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (
        math.isfinite(value) and value == int(value) and abs(value) < 1e6
    ):
        return f"{int(value)}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−").replace("inf", "∞")


def number(value: float | int | str | None, digits: int = 4) -> Markup:
    """Return a number for people, rounded, that holds the whole one for programs."""
    if value is None or isinstance(value, str):
        return escape(rounded(value))
    return Markup('<data value="{}">{}</data>').format(repr(value), rounded(value, digits))


def duration(seconds: float | None) -> str:
    """Return a time in the units that suit it."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def memory(megabytes: float | None) -> str:
    """Return an amount of memory in the units that suit it."""
    if megabytes is None:
        return "–"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def inline(text: str) -> Markup:
    """Return a paragraph of Markdown as HTML: code, emphasis, and links as their words alone."""
    html = str(escape(text))
    html = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", html)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    html = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html)
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", html))
