"""The notebooks of the documentation run from the first cell to the last."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks_of_arrays_a_simulator_and_a_study():
    assert {"own_arrays", "own_simulator", "finished_study"} <= {p.stem for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def shown(code: str, space: dict) -> str:
    """Run a cell, and return what a notebook shows of its last expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), space)
    if last is None:
        return ""
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), space)
    return value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)


@pytest.mark.full
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, in_folder):
    space: dict = {}
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    outputs = [shown(cell.source, space) for cell in cells]
    # Each shows what it has found: a result, or a table, and figures of a result.
    results = sum("systems with" in output for output in outputs)
    assert results == (0 if path.stem == "planning" else 1)
    assert any(("data:image/png" if results else "<table") in output for output in outputs)
