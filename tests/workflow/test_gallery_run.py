"""The gallery of the tiny study."""

from __future__ import annotations

import pytest
from tiny_study import Workflow

pytestmark = pytest.mark.firedrake

STUDY = "results/tiny/gallery"


@pytest.mark.full
def test_a_finished_study_has_pictures_of_systems_and_noise(finished, tiny):
    finished.configure(tiny)
    files = [f"{STUDY}/{name}.png" for name in ("systems", "noise")]
    finished.printed(*files)
    for file in files:
        assert (finished.folder / file).read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_a_finished_study_has_its_gallery(finished, tiny):
    finished.configure(tiny)
    finished.printed("gallery")
    assert (finished.folder / STUDY / "systems.png").exists()
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
