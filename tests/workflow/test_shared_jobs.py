"""A job of a study that several processes, or several ranks, share writes the same stores."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_study import TINY, Workflow

from popinv.store import storage
from popinv.workers import LENT_CORES

MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    # As many processes as there are, on however many cores.
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
RULE = "maximise_likelihoods"
NAMES = ("pseudo_likelihood", "likelihood")


def stores(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of the estimates."""
    loaded = {name: storage.load(folder / f"results/tiny/{name}.zarr.zip") for name in NAMES}
    return {
        name: {variable: each.values for variable, each in dataset.variables.items()}
        for name, dataset in loaded.items()
    }


@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed")
def test_the_number_of_processes_and_ranks_changes_no_bit(tmp_path, monkeypatch):
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    workflow = Workflow(tmp_path)
    workflow.configure(TINY)
    found = {}
    for words in (f"--set-threads {RULE}=1", f"--set-threads {RULE}=2",
                  f"--set-resources {RULE}:tasks=2"):  # fmt: skip
        # Of these runs, the first two have the free cores besides.
        monkeypatch.setenv(LENT_CORES, "none" if "tasks" in words else "")
        done = workflow.run("--until", RULE, "--forcerun", RULE, *words.split())
        assert done.returncode == 0, done.stdout
        found[words] = stores(tmp_path)
        log = (tmp_path / f"results/tiny/logs/{RULE}.log").read_text()
        # One rank alone writes the log.
        assert log.count(": started, process ") == log.count(": done in ") == 1
    one, *others = found.values()
    for other in others:
        for name in NAMES:
            assert set(one[name]) == set(other[name])
            for variable, values in one[name].items():
                np.testing.assert_array_equal(other[name][variable], values)
    assert not list((tmp_path / "results/tiny").glob(".ranks*"))


@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed")
def test_ranks_that_cannot_start_are_told(tmp_path, monkeypatch):
    workflow = Workflow(tmp_path)
    workflow.configure(TINY)
    asked = ["--set-resources", f"{RULE}:tasks=2", f"{RULE}:mpi=false"]
    done = workflow.run("--until", RULE, *asked)
    assert done.returncode != 0
    assert f"{RULE}: the 2 ranks, started by `false -n 2" in done.stdout
    assert not (tmp_path / "results/tiny/likelihood.zarr.zip").exists()
