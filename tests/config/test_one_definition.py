"""A key of the configuration has its default and its bounds in one place: its section.

The classes and functions that compute take a section, or a value that somebody hands over. None of
them has a default of its own for what a section of its part sets.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

import popinv
from popinv.config.study import Config
from popinv.sections.base import Section

SOURCE = Path(popinv.__file__).parents[1]
HOUSES = ("popinv", "popinv_models")
# Modules that hold sections, and nothing that computes.
SECTION_MODULES = ("section", "sections", "settings", "counts")


def holds_sections(module: str) -> bool:
    """Return whether a module of this name holds sections, such as that of a family of kinds."""
    return module in SECTION_MODULES or module.endswith("_section")


def sections(kind: type = Section) -> Iterator[type[Section]]:
    """Yield the sections that the configuration is made of."""
    for section in kind.__subclasses__():
        # Other tests define sections of a user's own.
        if section.__module__.split(".")[0] in HOUSES:
            yield section
            yield from sections(section)


def keys_of(section: type[Section]) -> set[str]:
    """Return the keys that a section states itself."""
    stated = vars(section).get("__annotations__", {})
    return {key for key in stated if key in section.model_fields}


def rooms() -> dict[str, dict[str, set[str]]]:
    """Return, for each folder with sections, its keys and the sections that define each."""
    assert Config  # imports every section
    keys_by_room: dict[str, dict[str, set[str]]] = {}
    for section in set(sections()):
        *folders, module = section.__module__.split(".")
        if folders[1:2] == ["inference"]:
            # Its folders compute with the same settings.
            folders = folders[:2]
        if holds_sections(module) and len(folders) > 1:
            keys = keys_by_room.setdefault("/".join(folders), {})
            for key in keys_of(section):
                keys.setdefault(key, set()).add(section.__name__)
    return keys_by_room


ROOMS = rooms()


def defaults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything that has a literal default: fields and parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and _literal(line.value):
                    yield line.lineno, ast.unparse(line.target)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            positional = [*given.posonlyargs, *given.args]
            last = positional[len(positional) - len(given.defaults) :]
            pairs = [*zip(last, given.defaults, strict=True)]
            pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
            for argument, value in pairs:
                if _literal(value):
                    yield node.lineno, argument.arg


def _literal(value: ast.expr | None) -> bool:
    """Tell whether this is a number or a word; None and False say that something is left out."""
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    return isinstance(value, ast.Constant) and value.value not in (None, False)


def repeated(source: str, keys: Collection[str]) -> list[tuple[int, str]]:
    """Return line and name of each default of a key."""
    return [(line, name) for line, name in defaults(ast.parse(source)) if name in keys]


def test_every_kind_of_settings_has_a_room() -> None:
    parts = {f"popinv/{part}" for part in ("inference", "surrogate", "population")}
    assert {*parts, "popinv_models/lorenz96"} <= set(ROOMS)
    assert {"model_samples", "draws"} <= set(ROOMS["popinv/inference"])
    assert {"patience", "width"} <= set(ROOMS["popinv/surrogate"])


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_what_computes_has_no_default_of_its_own_for_a_key(room: str) -> None:
    # A part is one room; each forward model is one, and so are the laws and the noise families.
    folder = SOURCE / room
    files = (
        folder.glob("*.py")
        if room.startswith(("popinv/forward", "popinv/population"))
        else folder.rglob("*.py")
    )
    hits = {
        str(path.relative_to(SOURCE)): repeats
        for path in files
        if not holds_sections(path.stem) and (repeats := repeated(path.read_text(), ROOMS[room]))
    }
    assert not hits


@pytest.mark.parametrize("room", ["popinv/inference", "popinv/surrogate"])
def test_each_key_of_the_numerics_stands_in_one_section(room: str) -> None:
    assert all(len(owners) == 1 for owners in ROOMS[room].values()), ROOMS[room]


def test_a_second_default_is_seen() -> None:
    keys = {"model_samples", "patience", "draws"}
    assert repeated("class A:\n    model_samples: int = 1000\n", keys) == [(2, "model_samples")]
    assert repeated("def f(x, patience=50, *, draws: int = -64): ...", keys) == [
        (1, "patience"),
        (1, "draws"),
    ]
    handed_over = """
        def f(patience, batch_size=None, *, draws=Settings.draws): ...
        class A:
            model_samples: int
    """
    assert repeated(textwrap.dedent(handed_over), keys) == []


@pytest.mark.parametrize("section", sorted({*sections()}, key=repr), ids=lambda s: s.__name__)
def test_a_section_states_no_key_that_it_inherits(section: type[Section]) -> None:
    bases = [base for base in section.__mro__[1:] if issubclass(base, Section)]
    inherited = {key for base in bases for key in keys_of(base)}
    # A kind states the one word that `kind` may be. A server is asked again by default: it may be
    # busy, where a program of one's own that fails once fails again.
    assert not keys_of(section) & inherited - {"kind", "retries"}
