"""The process that runs the user's function: ``python -m popinv.forward.python.worker``.

It stands apart so that a crash, or a call without end, costs that call alone. Batches come and
answers go through a connection of their own, so that the function may print what it likes.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FAILED", "READY", "UNUSABLE", "VALUES", "answer", "main"]

# What an answer is about.
READY, UNUSABLE, VALUES, FAILED = "ready", "unusable", "values", "failed"

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
        return VALUES, values.astype(np.float64)
    except (Exception, SystemExit) as error:
        return UNUSABLE, (
            f"the function returned a {type(result).__name__} that is not a table of numbers: "
            f"{error}"
        )


def _leave_with_parent() -> None:
    """End the process when the one that started it is gone, even in the middle of a call."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


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
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    sys.path.insert(0, folder)
    try:
        function = _function(target)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        connection.send((UNUSABLE, f"'{target}' cannot be imported: {_described(error)}"))
        return 1
    connection.send((READY, None))
    while True:
        try:
            z, seeds = connection.recv()
        except EOFError:
            return 0
        connection.send(answer(function, z, seeds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
