"""The process that runs the user's function: ``python -m popinv.forward.python.worker``.

It stands apart so that a crash, or a call without end, costs that call alone. Batches come and
answers go through a connection of their own, so that the function may print what it likes.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial, wraps
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from popinv.forward.inputs.shape import InputsShape
from popinv.forward.python.derivatives import (
    JACOBIAN,
    TORCH,
    VALUES,
    NotNumbers,
    from_jacobian,
    table,
)
from popinv.forward.python.exchange import FAILED, NUMBERS, READY, UNUSABLE, pack, unpack
from popinv.forward.python.one_system import HINT, over_systems, works_for_one
from popinv.sections.sources import import_from_source, is_installed, module_file

Function = Callable[..., Any]

OPENED_FILES = "POPINV_OPENED_FILES"
"""The environment variable with a file, to which a process adds the files that it has only read."""

_FORKED = (
    "the simulator has called os.fork(), and the new process returned from it as well. That "
    "process was ended. End it in the simulator, with os._exit(0).\n"
)


def _end_unless(process: int) -> None:
    """End this process unless it is the given one.

    A function that forks returns in both processes, of which the new one must not go on as if it
    were the first: both would answer.
    """
    if os.getpid() == process:
        return
    try:
        os.write(2, _FORKED.encode())
    finally:
        # Buffers, threads and temporary files belong to the first process.
        os._exit(1)


def _described(error: BaseException) -> str:
    """Return type, message and place of an error."""
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def loaded(target: str, folder: str) -> Function:
    """Return the function ``module:function`` of a folder, imported into this process.

    Modules of another folder that was imported before, and modules whose files have changed since,
    are imported again: two studies may each have a module ``simulator``.
    """
    own = os.path.abspath(folder)
    if _imported.get("folder") != own or any(
        _stamp(file) != stamp for file, stamp in _imported["files"].values()
    ):
        _forget()
    module, name = target.split(":")
    there = module_file(module, own, installed=False)
    if there is not None and _file_of(sys.modules.get(module)) not in (None, str(there)):
        del sys.modules[module]
    if own not in sys.path:
        sys.path.insert(0, own)
        _imported["added"] = True
    _imported["folder"] = own
    before = set(sys.modules)
    import_from_source(own)
    importlib.invalidate_caches()
    try:
        return getattr(importlib.import_module(module), name)
    finally:
        _imported["files"] |= {
            each: (file, _stamp(file))
            for each in set(sys.modules) - before
            if (file := _file_of(sys.modules[each])) is not None and _is_own(file, own)
        }


# The folder that was imported from last, whether it was added to the path, and the file of each of
# its modules with its stamp.
_imported: dict[str, Any] = {"folder": None, "added": False, "files": {}}


def _forget() -> None:
    """Remove the modules of the last folder, and the folder, from what Python imports from."""
    for each in _imported["files"]:
        sys.modules.pop(each, None)
    if _imported["added"] and _imported["folder"] in sys.path:
        sys.path.remove(_imported["folder"])
    _imported.update(folder=None, added=False, files={})


def _file_of(module: Any) -> str | None:
    return getattr(module, "__file__", None)


def _is_own(file: str, folder: str) -> bool:
    """Whether a file is the user's, beneath the folder."""
    return Path(file).is_relative_to(folder) and not is_installed(file)


def _stamp(file: str) -> tuple[int, int] | None:
    """Return time and size of a file; None if it is gone."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def takes(function: Function, name: str) -> bool:
    """Return whether a function has an argument of this name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled functions need not have a signature
        return False


def with_design(
    function: Function,
    design: int,
    times: list[float] | None,
    inputs: InputsShape | None = None,
) -> Function:
    """Return a function of the inputs side by side, for one that takes them apart.

    Parameters
    ----------
    function : callable
        It takes the parameters; ``design`` and ``inputs`` if there are any; and ``times`` if it has
        this argument.
    design : int
        Number of entries of the design, which follow the parameters.
    times : list of float or None
    inputs : InputsShape, optional
        The inputs over time, whose numbers follow the design.
    """
    if times is not None and takes(function, "times"):
        function = partial(function, times=np.array(times))
    width = 0 if inputs is None else inputs.width
    if not design + width:
        return function
    whole, beside = function, design + width

    @wraps(whole)
    def of_inputs(z: Any, **keywords: Any) -> Any:
        if design:
            keywords["design"] = z[..., -beside : z.shape[-1] - width]
        if inputs is not None:
            keywords["inputs"] = inputs.apart(z[..., -width:])
        return whole(z[..., :-beside], **keywords)

    return of_inputs


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
        It takes z (n, d_z), and ``seeds`` and ``jacobian`` if it has such arguments.
    source : str
        The source of derivatives, "" where there are none.
    asked : str
        Observations or derivatives.
    z : ndarray of shape (n, d_z)
    seeds : ndarray of int, shape (n,)
    directions : ndarray, optional
        Tangents (n, k, d_z), or cotangents (n, d_y).
    """
    process = os.getpid()
    try:
        return _answer(function, source, asked, z, seeds, directions)
    finally:
        _end_unless(process)


def _answer(
    function: Function,
    source: str,
    asked: str,
    z: np.ndarray,
    seeds: np.ndarray,
    directions: np.ndarray | None,
) -> tuple[str, Any]:
    seeded = partial(function, seeds=seeds) if takes(function, "seeds") else function

    def with_jacobian(wanted: bool) -> Any:
        return seeded(z, jacobian=wanted) if takes(function, "jacobian") else seeded(z)

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


def _note_opened_files() -> Callable[[], None]:
    """Note which files Python opens from now on; return what adds them to :data:`OPENED_FILES`.

    Files that libraries of C open by themselves are not noted.
    """
    target = os.environ.get(OPENED_FILES)
    if not target:
        return lambda: None
    read: set[str] = set()
    written: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR)
            (written if writes else read).add(os.path.realpath(arguments[0]))

    def add() -> None:
        with open(target, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{each}\n" for each in sorted(read - written) if os.path.isfile(each))

    sys.addaudithook(note)
    return add


class _Probe:
    """It finds out whether a function that fails for tables takes one system.

    Parameters
    ----------
    width : int, optional
        Number of observations; None if there is nothing to find out.
    """

    def __init__(self, width: int | None) -> None:
        self._width, self._hint = width, ""

    def seen(
        self, function: Function, source: str, kind: str, content: Any, z: np.ndarray
    ) -> tuple[str, Any]:
        """Return an answer for z (n, d_z), with advice if the function seems to take one system."""
        if self._hint and kind == FAILED:
            return kind, f"{content}. {self._hint}"
        if self._width is None:
            return kind, content
        width, self._width = self._width, None
        fits = kind == NUMBERS and content.shape == (len(z), width)
        process = os.getpid()
        # A function of tensors is given none here, and takes tables.
        one = not fits and source != TORCH and works_for_one(function, z[0], width)
        _end_unless(process)
        if not one:
            return kind, content
        self._hint = HINT
        if kind == NUMBERS:
            shape = f"{content.shape} for a table of shape {z.shape}"
            return UNUSABLE, f"the function returned an array of shape {shape}. {HINT}"
        return kind, f"{content}. {HINT}"


def main(arguments: Sequence[str]) -> int:
    """Serve batches until the connection closes.

    Parameters
    ----------
    arguments : sequence of str
        The connection's file descriptor, the folder of the module, ``module:function``, where
        derivatives come from, and what stands beside the parameters, as JSON.
    """
    descriptor, folder, target, source, text = arguments
    beside = json.loads(text)
    os.set_inheritable(int(descriptor), False)
    connection = Connection(int(descriptor))
    process, add_opened_files = os.getpid(), _note_opened_files()
    try:
        function = loaded(target, folder)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        message = f"'{target}' cannot be imported: {_described(error)}"
        if isinstance(error, ModuleNotFoundError):
            message += (
                f". Install the packages that it needs beside popinv ({sys.executable} -m pip "
                f"install ...), or put the module into the folder '{folder}'."
            )
        _end_unless(process)
        connection.send_bytes(pack(UNUSABLE, message))
        return 1
    _end_unless(process)
    if not beside["vectorised"]:
        function = over_systems(function)
    shape = InputsShape(*beside["inputs"]) if beside["inputs"] else None
    for name, key in {"design": beside["design"], "inputs": shape}.items():
        if key and not takes(function, name):
            message = (
                f"'{target}' takes no argument '{name}', but 'forward.{name}' names what it is "
                f"given; write it as {target.split(':')[1]}(z, {name})"
            )
            connection.send_bytes(pack(UNUSABLE, message))
            return 1
    function = with_design(function, beside["design"], beside["times"], shape)
    probe = _Probe(beside["width"] if beside["vectorised"] else None)
    connection.send_bytes(pack(READY))
    while True:
        try:
            _, asked, arrays = unpack(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            add_opened_files()
            return 0
        kind, content = answer(function, source, asked, *arrays)
        if asked == VALUES:
            kind, content = probe.seen(function, source, kind, content, arrays[0])
        reply = pack(kind, "", content) if kind == NUMBERS else pack(kind, content)
        connection.send_bytes(reply)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
