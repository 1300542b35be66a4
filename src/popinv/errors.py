"""The errors that the package raises on purpose, and words of their messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


class PopinvError(Exception):
    """Base class of the errors that the package raises on purpose, each with one message."""


class ConfigError(PopinvError):
    """The configuration requests something that does not exist or is impossible."""


class DataError(PopinvError):
    """A data file or an artefact is missing, damaged, or of the wrong form."""


class SolverError(PopinvError):
    """More forward solves failed than the study tolerates."""


class DivergenceError(PopinvError):
    """An iteration produced a value that is not finite."""


class InvariantError(PopinvError):
    """An identity that holds for all data is violated: the code has a mistake."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest allowed name, or an empty string.

    Parameters
    ----------
    name : str
        The given name.
    allowed : iterable of str
        The allowed names.
    """
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def require_known(name: str, allowed: Collection[str], problem: str) -> None:
    """Refuse a name that is not allowed, with ``problem`` at the beginning of the message.

    Raises
    ------
    ConfigError
        If it is not allowed; the message lists the allowed names.
    """
    if name not in allowed:
        raise ConfigError(f"{problem}, allowed: {', '.join(allowed)}.{nearest(name, allowed)}")


def spanned(low: int, high: int) -> str:
    """Return a range of counts in words: "6", or "4 to 9"."""
    return str(high) if low == high else f"{low} to {high}"
