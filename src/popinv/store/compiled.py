"""Compiled functions, kept from one process and one checkout to the next.

Numba keeps what it has compiled beside the source. Each new checkout and each new environment
would therefore compile everything anew, which takes up to ten seconds before the first solve. It
also does not notice when a function of another file, which it has compiled into this one, changes.
Here the compiled code is kept under ``$POPINV_CACHE``, or ``~/.cache/popinv``, and its folder is
named by a digest of everything from the package that went into it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, overload

import numba
from numba.core import caching, config
from numba.core.dispatcher import Dispatcher

from popinv.store.cache import cache_folder

__all__ = ["njit"]

F = TypeVar("F", bound=Callable[..., Any])

# Folders of earlier versions of a file that stay, for other checkouts.
_EARLIER = 8
# Values that a compiled function holds from the time of its compilation.
_CONSTANTS = (bool, int, float, str, tuple, frozenset)


class ByContent(caching.UserWideCacheLocator):
    """Where Numba keeps the compiled code of a function: by a digest of what went into it."""

    def __init__(self, function: FunctionType, file: str) -> None:
        super().__init__(function, file)
        self.digest = digest(function, file)
        name = f"{Path(file).parent.name}.{Path(file).stem}-{self.digest[:16]}"
        self._cache_path = str(cache_folder("compiled") / name)

    def get_source_stamp(self) -> str:
        """Return what the compiled code is valid for."""
        return self.digest

    def ensure_cache_path(self) -> None:
        """Make the folder; those of old versions of this file go.

        Raises
        ------
        OSError
            If nothing can be written there. Numba then keeps the code beside the source.
        """
        folder = Path(self._cache_path)
        if not folder.exists():
            versions = folder.parent.glob(f"{folder.name.rpartition('-')[0]}-{'?' * 16}")
            with suppress(OSError):
                for old in sorted(versions, key=os.path.getmtime)[:-_EARLIER]:
                    shutil.rmtree(old, ignore_errors=True)
        super().ensure_cache_path()


def digest(function: FunctionType, file: str) -> str:
    """Return a digest of a function's file, and of what the file has imported for it.

    These are the functions that are compiled into it, and constants.
    """
    content = hashlib.sha256(Path(file).read_bytes())
    for name, value in sorted(function.__globals__.items()):
        if isinstance(value, Dispatcher):
            # A function of this file is in the content already.
            if value.py_func.__code__.co_filename != file:
                other = value.py_func
                content.update(f"{name} {digest(other, other.__code__.co_filename)}".encode())
        elif not name.startswith("__") and isinstance(value, _CONSTANTS):
            content.update(f"{name} {value!r}".encode())
    return content.hexdigest()


@overload
def njit(function: F) -> F: ...


@overload
def njit(**options: Any) -> Callable[[F], F]: ...


def njit(function: Any = None, **options: Any) -> Any:
    """Compile a function by Numba without Python's lock, and keep the compiled code.

    It decorates as ``@njit`` does, or with options as ``@njit(fastmath={"reassoc"})``. The function
    stands in a file, beside which its code is kept.

    Parameters
    ----------
    **options
        Further options of :func:`numba.njit`.
    """
    if function is None:
        return lambda given: njit(given, **options)
    usual = [locator.__name__ for locator in caching.CacheImpl._locator_classes]
    places = ",".join([f"{__name__}.{ByContent.__name__}", *usual])
    # For this function alone: those of the user are kept where Numba keeps them.
    settings = vars(config)
    before, settings["CACHE_LOCATOR_CLASSES"] = settings["CACHE_LOCATOR_CLASSES"], places
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    finally:
        settings["CACHE_LOCATOR_CLASSES"] = before
