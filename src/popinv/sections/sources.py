"""The user's Python files: the file of a module, its imports, and its relevant content.

Snakemake does not watch these files. Their content is part of the parameters of the rules that
use them. Nothing of the user's is imported or run here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    PathFinder,
    SourceFileLoader,
)
from importlib.util import find_spec
from pathlib import Path
from types import CodeType

# Folders of the user, whose modules are compiled at each import.
_folders: set[str] = set()


class _FromSource(SourceFileLoader):
    """Compiles a module whenever it is imported.

    Python takes kept bytecode for a module's own if the time, in whole seconds, and the size of
    both agree. A module that was edited within a second would then answer as it did before.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of a module."""
        file = self.get_filename(fullname)
        return self.source_to_code(self.get_data(file), file)


def _finder(path: str) -> FileFinder:
    if not any(Path(path).is_relative_to(folder) for folder in _folders) or is_installed(path):
        raise ImportError(path)
    compiled = ExtensionFileLoader, EXTENSION_SUFFIXES
    return FileFinder(path, compiled, (_FromSource, SOURCE_SUFFIXES))


def is_installed(file: str) -> bool:
    """Return whether a file belongs to the environment, which may lie inside a user's folder."""
    return Path(file).is_relative_to(sys.prefix)


def import_from_source(folder: str) -> None:
    """Let the modules in and below a folder be compiled whenever they are imported."""
    if _finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _finder)
    own = os.path.abspath(folder)
    if own not in _folders:
        _folders.add(own)
        for path in [each for each in sys.path_importer_cache if Path(each).is_relative_to(own)]:
            del sys.path_importer_cache[path]


def module_file(module: str, folder: str, installed: bool = True) -> Path | None:
    """Return the file of a module, found without importing anything.

    Parameters
    ----------
    folder : str
        The folder is searched first.
    installed : bool
        Whether installed modules are searched too.
    """
    importlib.invalidate_caches()
    first, *others = module.split(".")
    # The path is absolute, to distinguish the user's modules from installed ones.
    spec = PathFinder.find_spec(first, [os.path.abspath(folder)])
    if spec is None and installed:
        try:
            spec = find_spec(first)  # imports nothing if there is no dot
        except ValueError:
            return None
    name = first
    for part in others:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations or ()))
    return Path(spec.origin) if spec is not None and spec.origin else None


def module_files(module: str, folder: str) -> set[Path]:
    """Return the files of a module and of its imports from inside the folder."""
    files: set[Path] = set()
    pending = [module]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        # An environment inside the folder has installed modules, which are not the user's.
        file = module_file(name, folder, installed=name == module)
        if file is None:
            continue
        # Paths are relative to the working directory, so that a moved project keeps its hash.
        files.add(Path(os.path.relpath(file)))
        if file.suffix == ".py":
            pending += imported_names(file, name)
            if "." in name:
                pending.append(name.rpartition(".")[0])
    return files


def imported_names(file: Path, module: str) -> Iterator[str]:
    """Yield the names of the modules that a Python file imports, inside functions too.

    Parameters
    ----------
    module : str
        Name of the module in the file, which relative imports start from.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(base if node.level else ()), *([node.module] if node.module else ())]
            source = ".".join(part for part in parts if part)
            yield source
            # An imported name may itself be a module.
            yield from (f"{source}.{alias.name}" for alias in node.names if alias.name != "*")


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class WithoutDocstrings(ast.NodeTransformer):
    """Remove the docstrings of modules, classes and functions."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Return a node of the tree without the docstrings below it."""
        super().generic_visit(node)
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return node


def file_content(path: Path) -> bytes:
    """Return the relevant content of a file.

    For Python, this is the code without comments, layout and docstrings, unless it reads these.
    """
    status = path.stat() if path.is_file() else None
    return _content(path, status and (status.st_mtime_ns, status.st_size))


@cache
def _content(path: Path, state: tuple[int, int] | None) -> bytes:
    """Return the relevant content of a file; a new state makes the cache read it again."""
    content = path.read_bytes() if state else b""
    if path.suffix == ".py":
        try:
            tree: ast.AST = ast.parse(content)
            if b"__doc__" not in content:
                tree = WithoutDocstrings().visit(tree)
            return ast.dump(tree).encode()
        except SyntaxError:
            return content
    return hashlib.sha256(content).digest()
