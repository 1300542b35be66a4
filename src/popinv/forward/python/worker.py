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
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from popinv.forward.python.derivatives import JACOBIAN, TORCH, NotNumbers, from_jacobian, table
from popinv.forward.python.exchange import FAILED, NUMBERS, READY, UNUSABLE, pack, unpack

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


def _takes(function: Function, name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled functions need not have a signature
        return False


def answer(
    function: Function,
    source: str,
    asked: str,
    z: np.ndarray,
    seeds: np.ndarray,
    directions: np.ndarray | None = None,
) -> tuple[str, Any]:
    """Call the function; return the kind of answer, and the numbers or the reason.

    Parameters
    ----------
    function : callable
        It takes z, and ``seeds`` and ``jacobian`` if it has such arguments.
    source : str
        The source of derivatives, "" where there are none.
    asked : str
        Observations or derivatives.
    z : ndarray of shape (n, d_z)
    seeds : ndarray of int, shape (n,)
    directions : ndarray, optional
        Tangents (n, k, d_z), or cotangents (n, d_y).
    """
    seeded = partial(function, seeds=seeds) if _takes(function, "seeds") else function

    def with_jacobian(wanted: bool) -> Any:
        return seeded(z, jacobian=wanted) if _takes(function, "jacobian") else seeded(z)

    try:
        if source == TORCH:
            # Torch is imported only for a function that uses it.
            from popinv.forward.python.autograd import from_torch

            return NUMBERS, from_torch(seeded, z, asked, directions)
        if source == JACOBIAN:
            return NUMBERS, from_jacobian(with_jacobian, z.shape[1], asked, directions)
        return NUMBERS, table(seeded(z))
    except NotNumbers as error:
        return UNUSABLE, str(error)
    except (Exception, SystemExit) as error:
        return FAILED, _described(error)


def main(arguments: Sequence[str]) -> int:
    """Serve batches until the connection closes.

    Parameters
    ----------
    arguments : sequence of str
        The connection's file descriptor, the folder of the module, ``module:function``, and where
        derivatives come from.
    """
    descriptor, folder, target, source = arguments
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
                f". Install the packages that it needs beside popinv ({sys.executable} -m pip "
                f"install ...), or put the module into the folder '{folder}'."
            )
        connection.send_bytes(pack(UNUSABLE, message))
        return 1
    connection.send_bytes(pack(READY))
    while True:
        try:
            _, asked, arrays = unpack(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            return 0
        kind, content = answer(function, source, asked, *arrays)
        reply = pack(kind, "", content) if kind == NUMBERS else pack(kind, content)
        connection.send_bytes(reply)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
