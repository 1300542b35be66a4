"""A study stage by stage in Python, in the words of the workflow: see docs/developers.md."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from few_draws import few_draws

from popinv.config.loading import load

__all__ = ["few_draws"]

ROOT = Path(__file__).parents[1]


def example() -> str:
    """Return the code of the section on the stages in docs/developers.md."""
    page = (ROOT / "docs" / "developers.md").read_text()
    page = page.split("\n## The stages in Python\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))


def imported(code: str) -> dict[str, str]:
    """Return module by imported name."""
    return {
        alias.name: node.module or ""
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.fixture(scope="module")
def results() -> dict:
    """Run the page's code and return its variables."""
    space: dict = {}
    exec(compile(example(), "docs/developers.md", "exec"), space)
    return space


@pytest.mark.full
def test_the_page_shows_a_study_from_the_truth_to_its_assessment(results):
    population, metrics = results["population"], results["answer"].metrics()
    assert metrics["systems"] == results["study"].observations.count
    for name in population["law_parameter"].values:
        assert metrics[f"alpha_{name}"] == float(population["law"].sel(law_parameter=name))
    truth = results["truth"]
    error = population["law"].values - truth["law"].values
    assert np.abs(error).max() < 0.5


@pytest.mark.full
def test_a_stage_of_the_page_gives_the_same_again(results):
    again = results["deconvolve"](
        results["model"],
        results["study"].descent,
        *(results[name] for name in ("observations", "surrogate", "estimate", "solves")),
        seed=results["seed"],
    )
    np.testing.assert_array_equal(again["alpha"].values, results["distance"]["alpha"].values)


def test_every_stage_has_a_rule():
    stages = {
        file.stem
        for file in (ROOT / "src" / "popinv").glob("*/stages/*.py")
        if file.stem != "__init__"
    }
    everywhere = "\n".join(p.read_text() for p in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert stages <= set(re.findall(r"^ *rule (\w+):", everywhere, re.MULTILINE))


def test_the_words_of_the_page_are_rules():
    words = {name: module for name, module in imported(example()).items() if ".stages." in module}
    assert len(words) >= 10
    assert all(module.endswith(f".stages.{name}") for name, module in words.items())


def test_the_code_of_the_page_takes_names_that_exist():
    given = {name: getattr(import_module(at), name) for name, at in imported(example()).items()}
    calls = [each for each in ast.walk(ast.parse(example())) if isinstance(each, ast.Call)]
    calls = [each for each in calls if getattr(each.func, "id", None) in given]
    assert len(calls) >= 10
    for call in calls:
        # What a star stands for is not counted.
        if not any(isinstance(argument, ast.Starred) for argument in call.args):
            words = {word.arg: None for word in call.keywords if word.arg}
            signature(given[call.func.id]).bind(*call.args, **words)


def test_a_section_answers_only_with_values_that_pass_its_checks():
    study = load({"studies": {"s": results_free()}}).studies["s"]
    assert study.descent.replace(iterations=7).iterations == 7
    with pytest.raises(ValueError, match="iterations"):
        study.descent.replace(iterations=0)
    with pytest.raises(ValueError, match="iteration"):
        study.descent.replace(iteration=7)


def results_free() -> dict:
    """Return the smallest study."""
    law = {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3}
    noise = {"amplitude": 0.1, "length": 0.1}
    return {
        "forward": {"kind": "porous_flow"},
        "observations": {"truth": {"law": law, "noise": noise}},
    }
