"""What takes seconds in a round is one job, with the same numbers as its parts."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
import xarray as xr
from tiers import parameters
from tiny_study import TINY, Workflow

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.store import storage
from popinv.workflow.resources import rounds_at_once
from popinv.workflow.rounds import solves_at_once

FIRST = "results/tiny/rounds/0/solves.zarr.zip"
OBSERVED, CHECK = "results/tiny/observations.zarr.zip", "results/tiny/rounds/check/solves.zarr.zip"
JUDGED, TRAINED, ESTIMATED = (
    f"results/tiny/rounds/1/{artefact}.zarr.zip" for artefact in ("solves", "surrogate", "estimate")
)
PARTS = {"draw_population", "propose_parameters", "solve_chunk", "collect_solves"}
AT_ONCE = {"simulate_observations", "run_2_rounds"}
LEARNING = {"train_surrogate", "update_population"}


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
        # The rounds of the evidence have chunks of their own.
        (1000, {"evidence": {"design_counts": [100, 1001]}}, True),
        (1000, {"evidence": {"system_counts": [50, 100, 501], "repeats": 2}}, True),
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


def made(workflow: Workflow, target: str) -> set[str]:
    """Make a store, and return the rules that ran."""
    printed = workflow.printed(target)
    again = workflow.run("--dry-run", target)
    assert "Nothing to be done" in again.stdout
    assert f"{target}:" not in again.stdout
    return set(re.findall(r"\(Rule: (\w+)\)", printed))


def planned(workflow: Workflow, target: str) -> set[str]:
    """Return the rules that would run for a target."""
    printed = workflow.printed("--dry-run", target)
    return set(re.findall(r"^(\w+) +\d+$", printed, re.MULTILINE)) - {"total"}


@pytest.mark.parametrize(
    ("sections", "rounds"),
    [
        ({}, 2),
        ({"active_learning": {"rounds": 3}}, 3),
        ({"active_learning": {"rounds": 30}}, 0),
        ({"surrogate": {"max_epochs": 100_000}}, 0),
        ({"surrogate": {"width": 3000, "depth": 4, "max_epochs": 1000}}, 0),
    ],
)
def test_long_rounds_have_a_job_for_each_part(sections, rounds):
    assert rounds_at_once(study_of(with_chunks(1000, **sections))) == rounds


KEPT = (FIRST, JUDGED, TRAINED, ESTIMATED)


@pytest.fixture(scope="module")
def at_once(untouched, tmp_path_factory) -> tuple[Workflow, set[str]]:
    """Return a study that was made in parts and then at once, and the rules that ran."""
    workflow = untouched.copied(tmp_path_factory.mktemp("at_once") / "copy")
    # What a part has left is not taken for a record of these rounds.
    (workflow.folder / "results/tiny/made/collect_solves.0.json").write_text("{")
    workflow.configure(with_chunks(1000))
    return workflow, made(workflow, ESTIMATED)


@pytest.mark.firedrake
def test_rounds_at_once_have_the_results_of_their_parts(untouched, at_once):
    workflow, rules = at_once
    assert {"simulate_observations", "run_2_rounds"} == rules
    for target in KEPT:
        in_parts, now = (storage.load(w.folder / target) for w in (untouched, workflow))
        xr.testing.assert_equal(now, in_parts)
        before, after = (json.loads(data.attrs["config"]) for data in (in_parts, now))
        # The number of draws has no place in a record of chunks.
        assert {name: after[name] for name in before} == before
    assert "surrogate_error" in storage.load(workflow.folder / JUDGED)


@pytest.mark.firedrake
def test_a_job_that_is_another_and_has_other_settings_is_not_overlooked(at_once):
    workflow, _ = at_once
    workflow.configure(with_chunks(1000, active_learning={"rounds": 1}))
    assert planned(workflow, CHECK) == {"run_1_rounds"}
    workflow.configure(with_chunks(100, noise={"start": {"amplitude": 0.3, "length": 0.2}}))
    assert "observe_population" in planned(workflow, OBSERVED)


@pytest.mark.full
@pytest.mark.firedrake
@parameters("target, parts", [(FIRST, set())], full=[(ESTIMATED, LEARNING)])
def test_what_is_made_in_parts_is_not_what_was_made_at_once(
    untouched, at_once, tmp_path, target, parts
):
    # What was made at once is still there.
    workflow = at_once[0].copied(tmp_path / "copy")
    workflow.configure(TINY)
    rules = made(workflow, target)
    assert rules >= {"collect_solves", *parts}
    assert not AT_ONCE & rules
    for name in {target, FIRST}:
        found = storage.load(workflow.folder / name)
        xr.testing.assert_equal(found, storage.load(untouched.folder / name))


def test_rounds_of_long_training_are_made_in_parts(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.configure(with_chunks(1000, surrogate={"max_epochs": 1_000_000}))
    rules = planned(workflow, ESTIMATED)
    assert rules >= {*PARTS, *LEARNING, "observe_population"}
    assert not AT_ONCE & rules


@pytest.mark.full
def test_rounds_of_the_evidence_are_made_in_parts(tmp_path):
    workflow = Workflow(tmp_path)
    evidence = {"system_counts": [30, 60, 90], "repeats": 2, "design_counts": [20, 40]}
    workflow.configure(with_chunks(1000, evidence=evidence | {"through": "solver"}))
    new = planned(workflow, "results/tiny/rounds/systems_30/solves.zarr.zip")
    assert new == {"draw_population", "solve_chunk", "collect_solves"}
    fixed = planned(workflow, "results/tiny/rounds/fixed/solves.zarr.zip")
    assert fixed == {"propose_parameters", "solve_chunk", "collect_solves"}
    # Those of the study are not.
    assert planned(workflow, CHECK) == {"simulate_observations", "run_2_rounds"}
