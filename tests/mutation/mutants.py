"""Small changes of a module's source, each of which a test should notice.

An arithmetic operator, a comparison, a sign, a number, an axis or a reduction is replaced by
another. Messages, annotations and descriptions of settings are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
}
_NAMES = {
    **{"min": "max", "minimum": "maximum", "argmin": "argmax", "any": "all"},
    **{"sum": "mean", "zeros": "ones", "zeros_like": "ones_like"},
}
_NAMES |= {other: name for name, other in _NAMES.items()}
_DROPPED = {"sqrt", "abs", "exp", "log"}
_AXES = {"axis", "dim"}
# What a user reads, and defaults, of which no value is wrong.
_LEFT_ALONE = {"default", "description", "desc", "examples", "title"}
_FACTOR = 1.15
MARKS = "popinv_marks"
"""The module in whose set ``called`` marked functions note their names."""


@dataclass(frozen=True)
class Mutant:
    """One change: ``source[start:end]`` becomes ``after``.

    ``function`` is the qualified name of the innermost function, empty at the top level.
    ``compiled`` says whether Numba compiles that function.
    """

    line: int
    start: int
    end: int
    before: str
    after: str
    function: str
    compiled: bool

    def apply(self, source: str) -> str:
        """Return the changed source."""
        return source[: self.start] + self.after + source[self.end :]


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module in the order of their places."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        # The parser counts columns in bytes.
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = []
    for node, function, compiled in _nodes(ast.parse(source), "", False):
        start = offset(node.lineno, node.col_offset)
        end = offset(node.end_lineno, node.end_col_offset)
        for changed in _changes(node):
            after = ast.unparse(changed)
            if not isinstance(changed, ast.Constant | ast.keyword):
                after = f"({after})"
            before = source[start:end]
            found.append(Mutant(node.lineno, start, end, before, after, function, compiled))
    return found


def marked(module: str, source: str) -> str:
    """Return a module in which each function that Numba leaves alone notes that it is called."""
    tree = ast.parse(source)

    def mark(node: ast.AST, within: str, compiled: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                own = compiled or any("jit" in ast.unparse(d) for d in child.decorator_list)
                mark(child, f"{within}{child.name}.<locals>.", own)
                if not own:
                    call = f"__import__({MARKS!r}).called.add({f'{module}:{within}{child.name}'!r})"
                    after = int(ast.get_docstring(child) is not None)
                    child.body[after:after] = ast.parse(call).body
            else:
                own = f"{within}{child.name}." if isinstance(child, ast.ClassDef) else within
                mark(child, own, compiled)

    mark(tree, "", False)
    return ast.unparse(tree)


def _nodes(node: ast.AST, function: str, compiled: bool, within: str = "") -> Iterator[tuple]:
    """Yield (node, function, compiled) of what stands below a node and may change."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            # Places inside a formatted string are not known exactly, and a message is no result.
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr):
                continue
            if isinstance(child, ast.keyword) and child.arg in _LEFT_ALONE:
                continue
            if hasattr(child, "lineno"):
                yield child, function, compiled
            if isinstance(child, ast.FunctionDef):
                own = f"{within}{child.name}"
                jit = compiled or any("jit" in ast.unparse(d) for d in child.decorator_list)
                yield from _nodes(child, own, jit, f"{own}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                yield from _nodes(child, function, compiled, f"{within}{child.name}.")
            else:
                yield from _nodes(child, function, compiled, within)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp() | ast.BoolOp():
            for other in _OPERATORS.get(type(node.op), ()):
                yield _with(node, op=other())
        case ast.Compare(ops=[operator]):
            for other in _OPERATORS[type(operator)]:
                yield _with(node, ops=[other()])
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield node.operand
        case ast.keyword(arg=name, value=ast.Constant(value=int() as n)) if n and name in _AXES:
            yield ast.keyword(arg=name, value=ast.Constant(0))
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float() as value):
            yield ast.Constant(_FACTOR * value if value else 1.0)
        case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
            yield _with(node, func=ast.Name(_NAMES[name]))
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _NAMES:
            yield _with(node, func=ast.Attribute(owner, _NAMES[name]))
        case ast.Call(args=[only], keywords=[], func=function) if _last(function) in _DROPPED:
            yield only


def _with(node: ast.AST, **changes: object) -> ast.AST:
    changed = deepcopy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def _last(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]
