"""The process that runs the user's function: ``python -m popinv.forward.python.worker``.

It stands apart so that a crash, or a call without end, costs that call alone. Batches come and
answers go through a connection of their own, so that the function may print what it likes.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from popinv.forward.external.messages import LARGEST_ANSWER
from popinv.forward.python.exchange import FAILED, READY, UNUSABLE, VALUES, pack, unpack

__all__ = ["answer", "main"]

Function = Callable[..., Any]


def _described(error: BaseException) -> str:
    """Return type, message and place of an error."""
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _function(target: str) -> Function:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _takes_seeds(function: Function) -> bool:
    try:
        return "seeds" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled functions need not say what they take
        return False


def answer(function: Function, z: np.ndarray, seeds: np.ndarray) -> tuple[str, Any]:
    """Call the function; return what kind of answer it is, and the values or the reason.

    Parameters
    ----------
    function : callable
        Of z, and of ``seeds`` if it has such an argument.
    z : ndarray of shape (n, d_z)
    seeds : ndarray of int, shape (n,)
    """
    try:
        result = function(z, seeds=seeds) if _takes_seeds(function) else function(z)
    except (Exception, SystemExit) as error:
        return FAILED, _described(error)
    try:
        values = np.asarray(result)
        # Complex numbers would lose their imaginary part, and text be read as numbers.
        if values.dtype.kind not in "biufO":
            raise TypeError(f"its entries are of type {values.dtype}")
        if values.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in values.flat):
            raise TypeError("some of its entries are text")
        if 8 * values.size > LARGEST_ANSWER:
            raise TypeError(f"its shape {values.shape} is too large for one call")
        return VALUES, values.astype(np.float64)
    except (Exception, SystemExit) as error:
        return UNUSABLE, (
            f"the function returned a {type(result).__name__} that is not a table of numbers: "
            f"{error}"
        )


def main(arguments: Sequence[str]) -> int:
    """Serve batches until the connection closes.

    Parameters
    ----------
    arguments : sequence of str
        The connection's file descriptor, the folder of the module, and ``module:function``.
    """
    descriptor, folder, target = arguments
    os.set_inheritable(int(descriptor), False)
    connection = Connection(int(descriptor))
    sys.path.insert(0, folder)
    try:
        function = _function(target)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        message = f"'{target}' cannot be imported: {_described(error)}"
        if isinstance(error, ModuleNotFoundError):
            message += (
                f". Install what it needs beside popinv ({sys.executable} -m pip install ...), or "
                f"put the module into the folder '{folder}'."
            )
        connection.send_bytes(pack(UNUSABLE, message))
        return 1
    connection.send_bytes(pack(READY))
    while True:
        try:
            _, _, (z, seeds) = unpack(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            return 0
        kind, content = answer(function, z, seeds)
        reply = pack(kind, "", content) if kind == VALUES else pack(kind, content)
        connection.send_bytes(reply)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
