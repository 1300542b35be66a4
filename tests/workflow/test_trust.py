"""Results that are not what the configuration makes are named and made again, never adopted."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kills import assert_identical
from tiers import parameters
from tiny_study import ROOT, TINY, Workflow

from popinv.cli.commands import popinv
from popinv.workflow.comparison import verify
from popinv.workflow.records import content_of, read_record

pytestmark = pytest.mark.firedrake

STUDY = Path("results/tiny")
FIRST = STUDY / "rounds/0"


@pytest.fixture
def again(untouched: Workflow, tmp_path: Path) -> Workflow:
    """Return a copy of the finished study, which Snakemake remembers."""
    return untouched.copied(tmp_path / "copy")


@pytest.fixture
def moved(untouched: Workflow, tmp_path: Path) -> Workflow:
    """Return the results in a folder in which Snakemake remembers nothing."""
    made = Workflow(tmp_path / "moved")
    made.folder.mkdir()
    shutil.copytree(untouched.folder / "results", made.folder / "results")
    made.configure(TINY)
    return made


@pytest.fixture(scope="session")
def other(untouched: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of the first round with another seed."""
    workflow = Workflow(tmp_path_factory.mktemp("other"))
    workflow.configure(with_seed(4))
    workflow.printed(str(FIRST / "surrogate.zarr.zip"))
    return workflow.folder


def with_seed(seed: int) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    config["seed"] = seed
    return config


def planned(workflow: Workflow) -> tuple[int, dict[str, str]]:
    """Return how many jobs a run would do, and what it says is not what it makes."""
    printed = workflow.printed("--dry-run")
    jobs = re.search(r"^total +(\d+)", printed, re.MULTILINE)
    told = re.findall(r"^  (results/\S+): (.+)$", printed, re.MULTILINE)
    assert bool(told) == ("not what this configuration makes" in printed)
    return int(jobs[1]) if jobs else 0, dict(told)


def test_results_that_were_moved_with_their_settings_are_taken(again, moved):
    # Another configuration with this folder of results has compared models.
    own = moved.folder / "results/comparisons/laws"
    (own / "made").mkdir(parents=True)
    (own / "comparison.json").write_text("{}")
    name, content = "results/comparisons/laws/comparison.json", content_of(own / "comparison.json")
    record = read_record(moved.folder / STUDY / "made/gather_answer.json")
    replace(
        record, rule="compare_models", wildcards={"comparison": "laws"}, inputs={},
        outputs={name: content},
    ).write(own / "made/compare_models.json")  # fmt: skip
    assert planned(again) == planned(moved) == (0, {})


@parameters(
    "path, jobs",
    [("rounds/0/chunks/1.zarr.zip", None)],
    full=[
        ("population.zarr.zip", 4),
        ("figures/law.png", 2),
        ("truth.zarr.zip", None),
        ("rounds/0/proposals.zarr.zip", None),
        ("rounds/1/estimate.zarr.zip", None),
        ("oracles/law_known.zarr.zip", 3),
    ],
)
def test_what_has_vanished_is_noticed(again, path, jobs):
    (again.folder / STUDY / path).unlink()
    count, told = planned(again)
    assert told == {f"{STUDY / path}": "missing"}
    assert count == (jobs or count) > 1


def test_a_table_that_was_emptied_is_made_again(again):
    (again.folder / STUDY / "metrics.json").write_text("")
    assert planned(again) == (2, {f"{STUDY}/metrics.json": "changed since it was made"})


def test_a_lost_record_is_noticed(again):
    (again.folder / STUDY / "made/train_surrogate.0.json").unlink()
    assert planned(again)[1] == {f"{FIRST}/surrogate.zarr.zip": "has no record"}


@parameters("odd", ["[" * 100_000], full=[{"rule": []}, {"wildcards": 5}])
def test_one_odd_record_does_not_hide_other_damage(again, odd):
    record = again.folder / STUDY / "made/train_surrogate.1.json"
    whole = json.loads(record.read_text())
    record.write_text(odd if isinstance(odd, str) else json.dumps(whole | odd))
    (again.folder / STUDY / "population.zarr.zip").unlink()
    (again.folder / STUDY / "metrics.json").write_text("{}")
    done = again.run("--dry-run")
    told = dict(re.findall(r"^  (results/\S+): (.+)$", done.stdout, re.MULTILINE))
    assert told[f"{STUDY}/population.zarr.zip"] == "missing"
    assert told[f"{STUDY}/metrics.json"] == "changed since it was made"
    assert told[f"{STUDY}/made/train_surrogate.1.json"] == "cannot be read"
    reason = f"its record cannot be read: {STUDY}/made/train_surrogate.1.json"
    assert told[f"{STUDY}/rounds/1/surrogate.zarr.zip"] == reason


@pytest.mark.full
def test_a_folder_that_cannot_be_read_ends_the_run(again):
    (again.folder / STUDY / "made").chmod(0)
    # The superuser reads everything, unless it has laid down its capabilities.
    plainly = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*plainly, *again.command("--dry-run")],
        capture_output=True, text=True, cwd=again.folder, env=environment,
    )  # fmt: skip
    (again.folder / STUDY / "made").chmod(0o755)
    assert done.returncode == 1
    assert f"{STUDY}/made: this folder of results cannot be read (Permission denied)" in done.stderr
    assert "Traceback" not in done.stderr


def test_results_of_another_seed_are_made_again(moved):
    moved.configure(with_seed(4))
    count, told = planned(moved)
    # All jobs, and the target.
    assert count == 28
    assert set(told.values()) == {"made with other settings: seed was 3, is 4"}


def test_only_what_other_settings_concern_is_made_again(moved):
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["descent"]["iterations"] = 61
    moved.configure(config)
    count, told = planned(moved)
    assert count == 7
    reason = "made with other settings: descent.iterations was 60, is 61"
    assert told[f"{STUDY}/descent.zarr.zip"] == reason


def test_an_edit_that_snakemake_sees_is_left_to_it(again):
    again.configure(with_seed(4))
    assert planned(again) == (28, {})


Change = Callable[[Path, Path], None]


def one_store(here: Path, there: Path) -> None:
    shutil.copy2(there / FIRST / "surrogate.zarr.zip", here / FIRST / "surrogate.zarr.zip")


def with_its_record(here: Path, there: Path) -> None:
    one_store(here, there)
    name = STUDY / "made/train_surrogate.0.json"
    shutil.copy2(there / name, here / name)


def one_chunk(here: Path, there: Path) -> None:
    shutil.copy2(there / FIRST / "chunks/0.zarr.zip", here / FIRST / "chunks/0.zarr.zip")
    os.utime(here / FIRST / "chunks/0.zarr.zip", (1e9, 1e9))


@parameters(
    "change, path, reason",
    [(with_its_record, "surrogate", "made with other settings: seed was 4, is 3")],
    full=[
        (one_store, "surrogate", "changed since it was made"),
        (one_chunk, "chunks/0", "changed since it was made"),
    ],
)
def test_single_results_of_another_study_are_noticed(again, other, change: Change, path, reason):
    change(again.folder, other)
    assert planned(again)[1][f"{FIRST}/{path}.zarr.zip"] == reason


def all_chunks(here: Path, there: Path) -> None:
    """Copy a round's chunks, newer than all that was made of the right ones."""
    for chunk in sorted((there / FIRST / "chunks").iterdir()):
        shutil.copy(chunk, here / FIRST / "chunks")


def test_chunks_of_another_study_are_made_again_however_new_they_are(again, other, untouched):
    all_chunks(again.folder, other)
    printed = again.printed(str(FIRST / "solves.zarr.zip"))
    for chunk in (0, 1):
        assert f"{FIRST}/chunks/{chunk}.zarr.zip: changed since it was made" in printed
    for name in ("chunks/0", "chunks/1", "solves"):
        store = FIRST / f"{name}.zarr.zip"
        assert (again.folder / store).read_bytes() == (untouched.folder / store).read_bytes()


def test_chunks_without_records_are_not_adopted(moved, other):
    all_chunks(moved.folder, other)
    for pattern in ("solve_chunk.0.*", "collect_solves.0.*"):
        for record in (moved.folder / STUDY / "made").glob(pattern):
            record.unlink()
    done = moved.run(str(FIRST / "solves.zarr.zip"))
    assert done.returncode == 1
    assert "chunk 0 of the solves was made with other settings:" in done.stdout
    assert "seed: stored 4, now 3" in done.stdout


# What comes out the same needs no new figures.
@pytest.mark.full
@parameters(
    "path, made",
    [("oracles/noise_known", ["population", "oracles/noise_known"])],
    full=[("oracles/law_known", []), ("rounds/0/surrogate", [])],
)
def test_what_is_made_again_is_the_same_and_is_then_left_alone(again, untouched, other, path, made):
    foreign = other / FIRST / "surrogate.zarr.zip"
    shutil.copy2(foreign, again.folder / STUDY / f"{path}.zarr.zip")
    (again.folder / STUDY / "population.zarr.zip").unlink()
    again.printed(*(f"{STUDY}/{name}.zarr.zip" for name in made))
    assert planned(again) == (0, {})
    assert_identical(again.folder, untouched.folder)


def test_a_record_tells_what_made_a_result(untouched):
    record = read_record(untouched.folder / STUDY / "made/train_surrogate.1.json")
    assert record.rule == "train_surrogate"
    assert record.wildcards == {"study": "tiny", "round": "1"}
    assert record.settings["seed"] == 3
    assert record.settings["study"]["surrogate"]["width"] == 16
    assert set(record.outputs) == {f"{STUDY}/rounds/1/surrogate.zarr.zip"}
    assert f"{STUDY}/rounds/1/solves.zarr.zip" in record.inputs
    assert {"python", "popinv", "torch", "commit"} <= set(record.versions)
    machine = {"host", "system", "processor", "cores", "instruction_set"}
    assert set(record.machine) == machine


def test_verification_walks_the_chain(again, other, monkeypatch):
    monkeypatch.chdir(again.folder)
    assert {verdict.state for verdict in verify("results")} == {"whole"}
    with_its_record(again.folder, other)
    (again.folder / STUDY / "truth.zarr.zip").unlink()
    with (again.folder / FIRST / "chunks/1.zarr.zip").open("ab") as file:
        file.write(b"x")
    (again.folder / STUDY / "made/deconvolve.json").write_text("{}")
    found = {verdict.path: verdict.state for verdict in verify("results")}
    assert found[f"{STUDY}/truth.zarr.zip"] == "missing"
    assert found[f"{FIRST}/chunks/1.zarr.zip"] == "damaged"
    assert found[f"{FIRST}/surrogate.zarr.zip"] == "foreign"
    assert found[f"{FIRST}/estimate.zarr.zip"] == "foreign"
    assert found[f"{STUDY}/made/deconvolve.json"] == "unknown"
    assert found[f"{STUDY}/descent.zarr.zip"] == "unknown"
    assert found[f"{STUDY}/observations.zarr.zip"] == "whole"


def test_the_command_tells_it(again, monkeypatch):
    monkeypatch.chdir(again.folder)
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["noise"]["start"]["length"] = 0.3
    again.configure(config)

    def verified(*arguments: str) -> Result:
        return CliRunner().invoke(popinv, ["verify", *arguments])

    done = verified("tiny")
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"results/tiny: \d+ whole\n", done.stdout)
    done = verified("--configfile", "config.yaml")
    assert done.exit_code == 1
    assert "foreign  results/tiny/observations.zarr.zip: noise.start.length was 0.2, is 0.3" in (
        done.stdout
    )
    assert verified("nothing").exit_code == 1
