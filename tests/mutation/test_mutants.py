"""The changes that mutation testing makes: each is one, in its place, and of what computes."""

from __future__ import annotations

import ast
import sys
from types import ModuleType

import pytest
from mutants import MARKS, marked, mutants

SOURCE = '''"""A module: 1 + 1."""

SCALE: int | None = 2


@njit(cache=True)
def compiled(x: float | None):
    return x


def outer(x, n):
    """Return 1."""
    if not n or len(x) < n:
        raise ValueError(n - 1, f"{n + 1} of {n}")
    é = "é"; return Field(default=3, ge=0) * np.sum(x, axis=1)


def root(x):
    return np.sqrt(x)
'''


def changed_lines(source: str) -> list[str]:
    lines = source.splitlines()
    found = []
    for mutant in mutants(source):
        changed = mutant.apply(source)
        ast.parse(changed)
        different = [b for a, b in zip(lines, changed.splitlines(), strict=True) if a != b]
        assert len(different) == 1
        found += different
    return [line.strip() for line in found]


def test_each_mutant_changes_one_thing_that_computes():
    product = 'é = "é"; return Field(default=3, ge=0) * np.sum(x, axis=1)'
    assert sorted(changed_lines(SOURCE)) == sorted(
        [
            "SCALE: int | None = 3",
            "if (not n and len(x) < n):",
            "if (n) or len(x) < n:",
            "if not n or (len(x) >= n):",
            "if not n or (len(x) <= n):",
            'é = "é"; return (Field(default=3, ge=0) / np.sum(x, axis=1))',
            product.replace("ge=0", "ge=1"),
            product.replace("np.sum(x, axis=1)", "(np.mean(x, axis=1))"),
            product.replace("axis=1", "axis=0"),
            product.replace("axis=1", "axis=2"),
            "return (x)",
        ]
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a - b", "(a + b)"),
        ("a ** 2", "(a * 2)"),
        ("-a", "(a)"),
        ("a is None", "(a is not None)"),
        ("True", "False"),
        ("0.5", "0.575"),
        ("0.0", "1.0"),
        ("min(a, b)", "(max(a, b))"),
        ("np.mean(a)", "(np.sum(a))"),
    ],
)
def test_the_first_change_of_an_expression(before, after):
    assert mutants(before)[0].apply(before) == after


def test_a_mutant_knows_the_function_that_it_is_in():
    source = (
        "X = 1\n\n@njit\ndef f(x):\n    return -x\n\n"
        "class A:\n    def g(x):\n        def h(x):\n            return -x\n        return -x\n"
    )
    places = [(mutant.line, mutant.function, mutant.compiled) for mutant in mutants(source)]
    assert places == [
        (1, "", False),
        (5, "f", True),
        (10, "A.g.<locals>.h", False),
        (11, "A.g", False),
    ]


def test_marked_functions_note_that_they_are_called(monkeypatch):
    marks = ModuleType(MARKS)
    marks.called = set()
    monkeypatch.setitem(sys.modules, MARKS, marks)
    source = (
        '"""A module."""\n\nfrom __future__ import annotations\n\n\n'
        'def f(x):\n    """Return a function."""\n    def h(y):\n'
        "        return x - y\n    return h\n\n\n"
        "class A:\n    @property\n    def g(self):\n        return 1\n\n\n"
        "def njit(function):\n    return function\n\n\n@njit\ndef compiled():\n    return 2\n"
    )
    made = {}
    exec(marked("a.py", source), made)
    assert marks.called == {"a.py:njit"}
    assert made["f"].__doc__ == "Return a function."
    assert (made["f"](3)(1), made["A"]().g, made["compiled"]()) == (2, 1, 2)
    assert marks.called == {f"a.py:{name}" for name in ("njit", "f", "f.<locals>.h", "A.g")}
