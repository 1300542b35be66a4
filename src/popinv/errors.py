"""The errors the package raises on purpose, all with a message for the person at the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PopinvError(Exception):
    """Base class: anything the package refuses to do, said in one message."""


class ConfigError(PopinvError):
    """The configuration asks for something that does not exist or cannot be."""


class DataError(PopinvError):
    """A data file or an artefact is missing, damaged, or of the wrong form."""


class SolverError(PopinvError):
    """More forward solves failed than the study tolerates."""


class DivergenceError(PopinvError):
    """An iteration produced a value that is not finite."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest allowed name, or an empty string.

    Parameters
    ----------
    name : str
        What was given.
    allowed : iterable of str
        What may be given.
    """
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
