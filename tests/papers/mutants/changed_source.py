"""Modules with one textual change, and ordinary tests run on them.

The functions and methods of a module keep their identity; their code becomes that of the changed
source. Every module, table and closure that holds one of them therefore sees the change. Constants
are replaced in the module, and in the modules of the package that have imported them.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

_TESTS = Path(__file__).parents[1]
_CONSTANTS = (int, float, str, tuple)


@contextmanager
def mutated(module: ModuleType, old: str, new: str) -> Iterator[None]:
    """Run the body with one change in the source of a module.

    Parameters
    ----------
    module : module
    old, new : str
        ``old`` occurs exactly once in the source.

    Raises
    ------
    AssertionError
        If it does not, or if the change reaches no function and no constant.
    """
    path = Path(str(module.__file__))
    source = path.read_text(encoding="utf-8")
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {path.name}"
    changed = {"__name__": module.__name__, "__package__": module.__package__, "__file__": path}
    exec(compile(source.replace(old, new), str(path), "exec"), changed)
    undo: list[Callable[[], None]] = []
    try:
        for before, after in _functions(vars(module), changed, str(path)):
            undo.append(_swapped(before, after))
        for name, value in list(vars(module).items()):
            constant = isinstance(value, _CONSTANTS) and not name.startswith("__")
            if constant and changed.get(name, value) != value:
                undo += _replaced(name, value, changed[name])
        assert undo, f"{new!r} changes nothing in {path.name}"
        yield
    finally:
        for restore in reversed(undo):
            restore()


def _functions(
    before: dict[str, Any], after: dict[str, Any], path: str
) -> Iterator[tuple[FunctionType, FunctionType]]:
    """Yield the pairs of functions of the source whose code differs, those of classes too."""
    for name, value in list(before.items()):
        other = after.get(name)
        if isinstance(value, type) and value.__module__ == before.get("__name__"):
            yield from _functions(
                {**vars(value), "__name__": value.__module__}, dict(vars(other)), path
            )
            continue
        first, second = _bare(value), _bare(other)
        if first is None or second is None or first.__code__.co_filename != path:
            continue
        if first.__code__ != second.__code__ or first.__defaults__ != second.__defaults__:
            yield first, second


def _bare(value: Any) -> FunctionType | None:
    """Return the function within properties and decorators."""
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.cached_property):
        value = value.func
    elif isinstance(value, classmethod | staticmethod):
        value = value.__func__
    while hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    return value if isinstance(value, FunctionType) else None


def _swapped(before: FunctionType, after: FunctionType) -> Callable[[], None]:
    code, defaults = before.__code__, before.__defaults__
    before.__code__, before.__defaults__ = after.__code__, after.__defaults__

    def restore() -> None:
        before.__code__, before.__defaults__ = code, defaults

    return restore


def _replaced(name: str, value: Any, new: Any) -> list[Callable[[], None]]:
    """Replace a constant wherever the package has imported it."""
    undo = []
    for key, module in list(sys.modules.items()):
        if key.startswith("popinv") and vars(module).get(name) is value:
            setattr(module, name, new)
            undo.append(functools.partial(setattr, module, name, value))
    return undo


def ordinary_test(killer: str) -> Callable[..., Any]:
    """Return an ordinary test of papers or of methods, by its file and its name.

    The file may import others there, as pytest lets it when it collects that folder.
    """
    for folder in (_TESTS, _TESTS.parent / "methods"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    file, _, name = killer.partition(".")
    return getattr(importlib.import_module(file), name)


def fails(test: Callable[..., Any]) -> bool:
    """Return whether an ordinary test without fixtures fails for any of its parameters."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    cases = [list(_cases(*mark.args[:2])) for mark in marks]
    for combined in itertools.product(*cases):
        given = {name: value for case in combined for name, value in case.items()}
        try:
            test(**given)
        except (Exception, pytest.fail.Exception):
            return True
    return False


def _cases(names: Any, rows: Any) -> Iterator[dict[str, Any]]:
    """Yield the arguments of the rows of a mark."""
    split = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    for row in rows:
        values = getattr(row, "values", row)
        values = values if len(split) > 1 or hasattr(row, "values") else (values,)
        yield dict(zip(split, values, strict=True))
