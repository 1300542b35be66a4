"""A round of solves that takes seconds is one job, with the same numbers as its parts."""

from __future__ import annotations

import copy
import re
import shutil
from typing import Any

import pytest
import xarray as xr
from tiny_study import TINY, Workflow

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.store import storage
from popinv.workflow.questions import solves_at_once

JUDGED, FIRST = "results/tiny/rounds/1/solves.zarr.zip", "results/tiny/rounds/0/solves.zarr.zip"


def with_chunks(size: int, **sections: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    for name, values in sections.items():
        study.setdefault(name, {}).update(values)
    study["active_learning"]["chunk_size"] = size
    return config


def study_of(config: dict[str, Any]) -> Study:
    return load(config).studies["tiny"]


# The largest round is the truth, of 240 systems.
@pytest.mark.parametrize(
    ("size", "sections", "at_once"),
    [
        (240, {}, True),
        (239, {}, False),
        (240, {"observations": {"count": 201}}, False),
        (1000, {"forward": {"ranks": 2}}, False),
        (1000, {"forward": {"dimension": 2, "elements": 300}}, False),
        (1000, {"evidence": {"design_counts": [100, 1001]}}, False),
        (1000, {"evidence": {"design_counts": [100, 1000]}}, True),
        (1000, {"evidence": {"system_counts": [50, 100, 501], "repeats": 2}}, False),
        (1000, {"evidence": {"system_counts": [50, 100, 500], "repeats": 2}}, True),
    ],
)
def test_only_rounds_of_one_short_chunk_are_one_job(size, sections, at_once):
    assert solves_at_once(study_of(with_chunks(size, **sections))) == at_once


def test_solves_of_which_nothing_is_known_are_jobs_of_their_own():
    config = with_chunks(1000)
    each = {"mean": 0.0, "standard_deviation": 1.0}
    config["studies"]["tiny"] |= {
        "forward": {
            "kind": "executable",
            "command": ["true", "{input}", "{output}"],
            "parameters": ["a"],
            "observations": {"count": 8},
        },
        "law": {"kind": "normal", "start": {"a": each}},
    }
    config["studies"]["tiny"]["observations"]["truth"]["law"] = {"a": each}
    study = study_of(config)
    assert study.forward.cost().guess
    assert not solves_at_once(study)


def made(workflow: Workflow, target: str) -> tuple[set[str], xr.Dataset]:
    """Make a store, and return the rules that ran and the store."""
    done = workflow.run(target)
    assert done.returncode == 0, done.stdout
    again = workflow.run("--dry-run", target)
    assert "Nothing to be done" in again.stdout
    assert "not what this configuration makes" not in again.stdout
    rules = set(re.findall(r"\(Rule: (\w+)\)", done.stdout))
    return rules, storage.load(workflow.folder / target)


@pytest.mark.firedrake
def test_rounds_at_once_have_the_solves_of_chunks(untouched, tmp_path):
    shutil.copytree(untouched.folder, tmp_path / "copy")
    workflow = Workflow(tmp_path / "copy")
    in_chunks = {target: storage.load(workflow.folder / target) for target in (FIRST, JUDGED)}

    workflow.configure(with_chunks(1000))
    rules, judged = made(workflow, JUDGED)
    assert {"solve_population", "solve_round", "train_surrogate"} <= rules
    assert not {"draw_population", "propose_parameters", "solve_chunk", "collect_solves"} & rules
    xr.testing.assert_equal(judged, in_chunks[JUDGED])
    assert "surrogate_error" in judged
    xr.testing.assert_equal(storage.load(workflow.folder / FIRST), in_chunks[FIRST])

    # What was made at once is not taken for what is made from chunks, which are still there.
    workflow.configure(TINY)
    rules, first = made(workflow, FIRST)
    assert "collect_solves" in rules
    assert not {"solve_round", "solve_population"} & rules
    xr.testing.assert_equal(first, in_chunks[FIRST])
