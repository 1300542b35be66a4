"""The identity of a stage's code: a hash of every module that the stage imports.

Snakemake does not see the modules that a script imports. Each rule therefore carries a hash, as a
parameter: of its script, of the modules that this imports, directly or through other modules, and
of the kinds that the study names (its forward model, law and noise), which are imported by name.
The imports are read from the source, so that nothing heavy is imported to learn them.

Imports at the top of a module count. Late ones, within functions, count in scripts, in modules of a
folder ``stages``, and where the kind of a surrogate is chosen: these import late what only some of
their jobs need. Everywhere else a late import is for a kind that the study names, or for what
changes no result.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from popinv.config.study import Study
from popinv.forward.registry import PACKAGES
from popinv.houses import packages
from popinv.sections.outside import is_outside
from popinv.sections.sources import WithoutDocstrings
from popinv.store.cache import Entries, cache_folder

_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT.name
# Modules on which no result depends: they write messages, search for kinds and methods, and keep
# the time of solves.
_WITHOUT_RESULT = tuple(
    f"{_PACKAGE}.{name}"
    for name in (
        "forward.house",
        "forward.registry",
        "forward.solve_times",
        "houses",
        "methods.registry",
        "methods.sections",
        "sections.messages",
        "sections.outside",
        "sections.sources",
    )
)
# The module that restores a surrogate imports its kind late, as a stage does.
_SURROGATES = f"{_PACKAGE}.surrogate.artefact"
_EXPLAINING = ("description", "json_schema_extra")

USES = ("forward", "solver", "distributed", "states", "law", "noise", "true_noise")
"""What a stage can use of a study: the forward model's section, its solver, the solver that several
processes share, the computation and the drawing of its whole states, the law, the fitted noise, and
the noise of a synthetic truth."""


def kind_modules(study: Study, *uses: str) -> tuple[str, ...]:
    """Return the modules, or the user's files, of the kinds that a study names.

    Parameters
    ----------
    *uses : str
        Of :data:`USES`.
    """
    return tuple(dict.fromkeys(module for use in uses for module in _kind(study, use)))


def _kind(study: Study, use: str) -> tuple[str, ...]:
    forward = study.forward
    solver = (*forward.modules(), *forward.solver_modules())
    # The user's files are one with the section; of an installed kind the section comes first.
    section = forward.modules() if is_outside(forward.kind) else forward.modules()[:1]
    if use == "states":
        package = PACKAGES[forward.kind]
        return (*solver, f"{package}.states", f"{package}.drawing")
    if use == "distributed" and not is_outside(forward.kind):
        return (*section, f"{PACKAGES[forward.kind]}.distributed")
    if use == "true_noise":
        return (*section, *study.true_noise().modules())
    return {
        "forward": section,
        "distributed": section,
        "solver": solver,
        "law": (*section, *study.law.modules()),
        "noise": (*section, *study.noise.modules()),
    }[use]


def imported_modules(
    *roots: str, late: bool = True, without: tuple[str, ...] = ()
) -> dict[str, Path]:
    """Return the modules that Python runs when it imports the roots, themselves included.

    Parameters
    ----------
    *roots : str
        Module names (``"popinv.forward.python.model"``), or paths of scripts and of the
        user's own modules.
    late : bool
        Whether the job runs what its stage imports within functions.
    without : tuple of str
        Modules and packages that it does not import late.

    Returns
    -------
    dict
        Module name to source file, sorted by name.

    Raises
    ------
    ValueError
        If a root is neither a module of the packages nor a file.
    """

    def imports(path: Path, is_stage: bool) -> Iterator[str]:
        code = code_and_imports(path)
        yield from code.early
        if late and is_stage:
            yield from (name for name in code.late if not f"{name}.".startswith(excluded))

    excluded = tuple(f"{name}." for name in without)
    modules: dict[str, Path] = {}
    pending: list[str] = []
    for root in roots:
        if Path(root).is_file():
            # The paths of scripts are absolute, and the paths of the user's own modules are not.
            pending += imports(Path(root).resolve(), Path(root).is_absolute())
        elif _source_of(root) is None:
            raise ValueError(
                f"'{root}' is neither a module of {_PACKAGE} and what adds to it nor a script"
            )
        else:
            pending.append(root)
    while pending:
        name = pending.pop()
        path = _source_of(name)
        if path is None or name in modules or name in _WITHOUT_RESULT:
            continue
        modules[name] = path
        parts = name.split(".")
        # Python runs the packages around a module before it.
        pending += (".".join(parts[:count]) for count in range(1, len(parts)))
        pending += imports(path, "stages" in parts or name == _SURROGATES)
    return dict(sorted(modules.items()))


@cache
def fingerprint(*roots: str, late: bool = True, without: tuple[str, ...] = ()) -> str:
    """Return a hash of the code of the roots and of every module that they import.

    Comments, layout and words (docstrings, descriptions of keys, generators of problems) do not
    count, as they cannot change a result. A hash is computed once in a process, for any number of
    jobs.

    Parameters
    ----------
    *roots, late, without
        As in :func:`imported_modules`.
    """
    # A script is identified by its name, wherever the workflow lies. A user's file is identified by
    # its path relative to the configuration.
    paths = [Path(root) for root in roots if Path(root).is_file()]
    files = {path.name if path.is_absolute() else str(path): path.resolve() for path in paths}
    modules = imported_modules(*roots, late=late, without=without)
    digest = hashlib.sha256()
    for name, path in {**files, **modules}.items():
        digest.update(name.encode())
        digest.update(code_and_imports(path).code.encode())
    _parsed_before().write()
    return digest.hexdigest()[:16]


@cache
def _root_of(package: str) -> Path | None:
    """Return the folder of this package, or of one that adds to it; None for any other."""
    if package == _PACKAGE:
        return _ROOT
    if package not in packages():
        return None
    found = find_spec(package)
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None


@cache
def _source_of(module: str) -> Path | None:
    first, *parts = module.split(".")
    root = _root_of(first)
    if root is None:
        return None
    path = root.joinpath(*parts)
    if path.is_dir():
        return path / "__init__.py"
    file = path.with_suffix(".py")
    return file if file.is_file() else None


class ParsedCode(NamedTuple):
    """A hash of a file's code without comments, layout and words, and the names it imports."""

    code: str
    early: frozenset[str]
    late: frozenset[str]


@cache
def code_and_imports(path: Path) -> ParsedCode:
    """Return the code of a file, what it imports at its top, and what within functions or blocks.

    A file that is not Python imports nothing. Parsing some 300 modules takes half a second, which
    every call of Snakemake and every job of a cluster would spend. What was found is therefore kept
    on disk, by the hash of the file's content.
    """
    source = path.read_bytes()
    key = hashlib.sha256(source).hexdigest()
    if path.suffix != ".py":
        return ParsedCode(key, frozenset(), frozenset())
    found = _parsed_before().get(key)
    if found is None:
        tree = ast.parse(source)
        early = {name for node in tree.body for name in _imported(node)}
        run = [node for node in tree.body if not _is_for_types(node)]
        late = {name for each in run for node in ast.walk(each) for name in _imported(node)} - early
        code = ast.dump(_WithoutWords().visit(tree))
        found = [hashlib.sha256(code.encode()).hexdigest(), sorted(early), sorted(late)]
        _parsed_before().put(key, found)
    code, early, late = found
    return ParsedCode(code, frozenset(early), frozenset(late))


@cache
def _parsed_before() -> Entries:
    """Return what is kept: it depends on Python's version, and on what this module does."""
    rules = f"{sys.version_info}{Path(__file__).read_text()}"
    name = hashlib.sha256(rules.encode()).hexdigest()[:16]
    return Entries(cache_folder("parsed_code") / f"{name}.json")


def _is_for_types(node: ast.stmt) -> bool:
    """Return whether type checkers alone read a block."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module
        # An imported name may itself be a module.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


class _WithoutWords(WithoutDocstrings):
    """Remove explanations: docstrings, descriptions of keys, and messages of problems."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [key for key in node.keywords if key.arg not in _EXPLAINING]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.returns is not None and ast.unparse(node.returns) == "Iterator[ConfigProblem]":
            return None
        return self.generic_visit(node)
