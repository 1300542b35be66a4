"""The gallery of the tiny study."""

from __future__ import annotations

import pytest
from tiny_study import Workflow

pytestmark = pytest.mark.firedrake

STUDY = "results/tiny/gallery"


def test_a_finished_study_has_its_gallery(finished):
    done = finished.run("gallery")
    assert done.returncode == 0, done.stdout
    for name in ("systems", "noise"):
        file = finished.folder / STUDY / f"{name}.png"
        assert file.read_bytes().startswith(b"\x89PNG")
    rules = (finished.folder / "results/gallery/rules.svg").read_text()
    assert rules.startswith("<?xml")
    assert "Nothing to be done" in finished.run("gallery", "--dry-run").stdout


def test_the_systems_need_the_population_alone(tiny, tmp_path):
    workflow = Workflow(tmp_path)
    workflow.configure(tiny)
    printed = workflow.run(f"{STUDY}/systems.png", "--dry-run").stdout
    assert "tiny: drawing a few systems whole" in printed
    assert "training" not in printed
    assert "recovering" not in printed
    assert "observing the population" in printed
