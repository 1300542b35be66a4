"""The code of a Python file without its words, and what it imports.

Parsing some 300 modules takes half a second, which every call of Snakemake and every job of a
cluster would spend. What was found is therefore kept on disk, by the hash of the file's content.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from popinv.store.cache import Entries, cache_folder

_EXPLAINING = ("description", "json_schema_extra")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class ParsedCode(NamedTuple):
    """A hash of a file's code without comments, layout and words, and the names it imports."""

    code: str
    imports: frozenset[str]


class _WithoutWords(ast.NodeTransformer):
    """Remove explanations: docstrings, descriptions of keys, and messages of problems."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [key for key in node.keywords if key.arg not in _EXPLAINING]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.returns is not None and ast.unparse(node.returns) == "Iterator[Problem]":
            return None
        return self.generic_visit(node)


@cache
def _entries() -> Entries:
    """Return what is kept: it depends on Python's version, and on what this module does."""
    rules = f"{sys.version_info}{Path(__file__).read_text()}"
    name = hashlib.sha256(rules.encode()).hexdigest()[:16]
    return Entries(cache_folder("parsed_code") / f"{name}.json")


def remember() -> None:
    """Keep what was parsed for other processes."""
    _entries().write()


@cache
def code_and_imports(path: Path) -> ParsedCode:
    """Return the code and the imports of a file; one that is not Python has no imports.

    Only imports at the top of the module count.
    """
    source = path.read_bytes()
    key = hashlib.sha256(source).hexdigest()
    if path.suffix != ".py":
        return ParsedCode(key, frozenset())
    found = _entries().get(key)
    if found is None:
        found = _parsed(source)
        _entries().put(key, found)
    code, imports = found
    return ParsedCode(code, frozenset(imports))


def _parsed(source: bytes) -> tuple[str, list[str]]:
    tree = ast.parse(source)
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    code = ast.dump(_WithoutWords().visit(tree))
    return hashlib.sha256(code.encode()).hexdigest(), sorted(names)
