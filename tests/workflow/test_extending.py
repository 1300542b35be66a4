"""New kinds, made as docs/developers.md says: its code is written, and a study of all is run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_study import ROOT, Workflow

PAGE = ROOT / "docs" / "developers.md"
# A block of code, and the last file that the text names before it.
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`((?:src/popinv|count-systems|tracer-models)/[\w/]+\.(?:py|toml))`")
PACKAGES = ("tracer-models", "count-systems")
SMALL = {
    "active_learning": {"rounds": 1, "first_design": 400},
    "surrogate": {"width": 32, "depth": 2, "max_epochs": 200},
    "polish": {"draws": 16},
    "descent": {"iterations": 100, "model_samples": 200, "directions": 16},
    "assessment": {"null_resamples": 20, "surrogate_check": 60, "oracles": False},
}


def blocks() -> list[tuple[str, str, str]]:
    """Return the subsection, the file and the text of every block of code on new kinds."""
    text = PAGE.read_text().split("\n## Add a kind to the package\n")[1].split("\n## ")[0]
    told = []
    for match in BLOCK.finditer(text):
        before = text[: match.start()]
        headings = re.findall(r"^### (.+)$", before, re.MULTILINE)
        files = FILE.findall(before)
        told.append((headings[-1], f"{match[1]} {files[-1] if files else ''}", match[2]))
    return told


def new_files() -> dict[str, str]:
    kinds = ("python ", "toml ")
    return {head.split()[1]: text for _, head, text in blocks() if head.startswith(kinds)}


def edits() -> list[tuple[str, str, str, str]]:
    """Return the section, the file, the old and the new text of every edit of a file."""
    changes = []
    for section, head, text in blocks():
        if head.startswith("diff "):
            lines = text.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            changes.append((section, head.split()[1], old, new))
    return changes


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project in which everything is done that the page says."""
    root = tmp_path_factory.mktemp("extended")
    for part in ("src", "workflow"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", root / "Snakefile")
    for name, text in new_files().items():
        file = root / name
        assert not file.exists()
        if not file.parent.exists():
            file.parent.mkdir()
            if file.suffix == ".py":
                (file.parent / "__init__.py").touch()
        file.write_text(text)
    for _, name, old, new in edits():
        text = (root / name).read_text()
        assert text.count(old) == 1, f"{name} has not once:\n{old}"
        (root / name).write_text(text.replace(old, new))
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    # Into the folder of the sources, which is on the path of the jobs.
    packages = [str(root / name) for name in PACKAGES]
    command = [sys.executable, *install, "--target", str(root / "src"), *packages]
    subprocess.run(command, check=True)
    return root


def test_one_file_beside_the_new_folder_is_edited():
    for section in ("A law", "A noise family"):
        edited = {name for kind, name, _, _ in edits() if kind == section}
        assert len(edited) == 1, section
        assert edited.isdisjoint(new_files())
    assert {"A forward model", "A downstream method"}.isdisjoint(kind for kind, *_ in edits())
    folders = {str(Path(name).parent) for name in new_files()}
    assert len(folders) == 7


def test_the_code_of_the_page_keeps_to_the_style(extended):
    files = [str(extended / name) for name in new_files() if name.endswith(".py")]
    settings = ["--config", str(ROOT / "pyproject.toml")]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *settings, *files],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.full
def test_a_study_of_the_new_kinds_runs(extended, tmp_path):
    (study,) = (text for _, head, text in blocks() if head.startswith("yaml "))
    config = yaml.safe_load(study)
    config["studies"]["tracers"] |= SMALL
    workflow = Workflow(tmp_path, extended)
    workflow.configure(config)
    workflow.printed()
    results = tmp_path / "results" / "tracers"
    counted = json.loads((results / "downstream" / "count_systems" / "metrics.json").read_text())
    assert counted["systems"] == 300
    assert 0 < counted["above"] < 300
    metrics = json.loads((results / "metrics.json").read_text())
    truth = config["studies"]["tracers"]["observations"]["truth"]
    for name, value in truth["noise"].items():
        assert metrics[f"noise_{name}"] == pytest.approx(value, rel=0.25)
    low = np.array([metrics[f"alpha_{name}_low"] for name in truth["law"]])
    np.testing.assert_allclose(low, [1.0, 0.4], atol=0.25)
    assert "law" in {path.stem for path in (results / "figures").glob("*.png")}


@pytest.mark.full
def test_an_installed_method_is_offered_and_part_of_its_fingerprint(extended):
    code = """
from popinv.methods.registry import METHODS
from popinv.methods.sections import StudyDownstream
from popinv.workflow.fingerprint import imported_modules
print(METHODS["count_systems"].module, "count_systems" in StudyDownstream.model_fields)
print("count_systems.figures" in imported_modules("count_systems.use"))
"""
    environment = os.environ | {"PYTHONPATH": str(extended / "src")}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["count_systems.use", "True", "True"]


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        (
            "methods",
            "nowhere:METHOD",
            "broken = nowhere:METHOD' of the group popinv.methods cannot be imported",
        ),
        ("methods", "popinv.errors:ConfigError", "must be a Method or a House"),
        (
            "methods",
            "popinv_copy:METHOD",
            "two methods are called 'posterior': of popinv.methods.posterior",
        ),
        (
            "models",
            "nowhere:HOUSE",
            "broken = nowhere:HOUSE' of the group popinv.models cannot be imported",
        ),
        (
            "models",
            "popinv.errors:ConfigError",
            "must be a ModelHouse of popinv.forward.house",
        ),
        (
            "models",
            "house:COPY",
            "two forward models are called 'python': popinv.forward.python and house.python",
        ),
    ],
)
def test_an_entry_point_that_names_no_record_is_named(tmp_path, part, value, told):
    (tmp_path / "popinv_copy.py").write_text(
        "from dataclasses import replace\n"
        "from popinv.methods.posterior.method import METHOD\n"
        "METHOD = replace(METHOD, package='popinv_copy')\n"
    )
    (tmp_path / "house.py").write_text(
        "from popinv.forward.house import ModelHouse\nCOPY = ModelHouse('house', ('python',))\n"
    )
    described = tmp_path / "broken-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[popinv.{part}]\nbroken = {value}\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    registry = {"methods": "popinv.methods.registry", "models": "popinv.forward.registry"}[part]
    command = [sys.executable, "-c", f"import {registry}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
