"""Deprecated names: each warns for one minor version, and is then removed.

The policy is in docs/stability.md.
"""

from __future__ import annotations

import warnings


class PopinvDeprecationWarning(FutureWarning):
    """A name that is used will be removed.

    Python shows this warning to users by default, unlike DeprecationWarning.
    """


def deprecated(what: str, instead: str, removed_in: str) -> str:
    """Warn that something will be removed, and return the warning's text.

    Parameters
    ----------
    what : str
        The name that is used, as its user writes it.
    instead : str
        What to write instead.
    removed_in : str
        The version without it.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True):
    ...     print(deprecated("--old", "--new", "0.3"))
    --old will be removed in popinv 0.3; write --new instead
    """
    text = f"{what} will be removed in popinv {removed_in}; write {instead} instead"
    # The caller of the deprecated function.
    warnings.warn(text, PopinvDeprecationWarning, stacklevel=3)
    return text
