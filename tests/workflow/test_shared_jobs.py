"""A job of a study that several processes, or several ranks, share writes the same stores."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kills import assert_same_results
from tiers import parameters
from tiny_study import Workflow

from popinv.workers import LENT_CORES

pytestmark = pytest.mark.firedrake

MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    # Ranks that wait leave the processor to others.
    "OMPI_MCA_mpi_yield_when_idle": "1",
    # As many processes as there are, on however many cores.
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
RULE = "maximise_likelihoods"
STORES = ["pseudo_likelihood.zarr.zip", "likelihood.zarr.zip"]


@pytest.fixture
def again(untouched: Workflow, tmp_path: Path) -> Workflow:
    """Return a copy of the finished study, whose jobs had two processes at most."""
    return untouched.copied(tmp_path / "copy")


# With the free cores besides, but for the ranks.
@pytest.mark.full
@parameters(
    "words, lent",
    [(f"--set-threads {RULE}=1", "none")],
    full=[
        (f"--set-threads {RULE}=1", ""),
        (f"--set-threads {RULE}=2", ""),
        (f"--set-resources {RULE}:tasks=2", "none"),
    ],
)
def test_the_number_of_processes_and_ranks_changes_no_bit(
    again, untouched, monkeypatch, words, lent
):
    if "tasks" in words and shutil.which("mpiexec") is None:
        pytest.skip("mpiexec is not installed")
    for name, value in {**MPI, LENT_CORES: lent}.items():
        monkeypatch.setenv(name, value)
    for name in STORES:
        (again.folder / "results/tiny" / name).unlink()
    again.printed("--until", RULE, *words.split())
    assert_same_results(again.folder, untouched.folder, STORES)
    log = (again.folder / f"results/tiny/logs/{RULE}.log").read_text()
    # One rank alone writes the log.
    assert log.count(": started, process ") == log.count(": done in ") == 1
    assert not list((again.folder / "results/tiny").glob(".ranks*"))


def test_ranks_that_cannot_start_are_told(again):
    store = again.folder / "results/tiny" / STORES[0]
    store.unlink()
    asked = ["--set-resources", f"{RULE}:tasks=2", f"{RULE}:mpi=false"]
    done = again.run("--until", RULE, *asked)
    assert done.returncode != 0
    assert f"{RULE}: the 2 ranks, started by `false -n 2" in done.stdout
    assert not store.exists()
