"""How the ranks of a stage are started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from popinv.workflow import ranks


class Resources(dict[str, Any]):
    """Resources of a job, as Snakemake hands them to a script."""

    __getattr__ = dict.__getitem__


def job(**resources: Any) -> SimpleNamespace:
    return SimpleNamespace(rule="some_rule", resources=Resources(resources))


def launcher_that_tells(folder: Path) -> str:
    """Return a launcher that writes its environment to a file, and starts nothing."""
    program = folder / "launcher.py"
    program.write_text(
        "import json, os, pathlib\n"
        f"pathlib.Path({str(folder / 'told')!r}).write_text(json.dumps(dict(os.environ)))\n"
    )
    return f"{sys.executable} {program}"


@pytest.mark.parametrize("within_step", [True, False])
def test_ranks_are_not_kept_to_the_node_of_a_step(tmp_path, monkeypatch, within_step):
    for name in ("SLURM_JOB_NODELIST", "SLURM_NNODES"):
        monkeypatch.setenv(name, "of the step or the job")
    if within_step:
        monkeypatch.setenv("SLURM_STEP_ID", "0")
    else:
        monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    ranks.start_ranks(job(tasks=2, mpi=launcher_that_tells(tmp_path)))
    told = json.loads((tmp_path / "told").read_text())
    assert ("SLURM_JOB_NODELIST" in told) is not within_step
    assert ("SLURM_NNODES" in told) is not within_step
    assert "PATH" in told


def test_a_launcher_that_is_not_there_is_told():
    with pytest.raises(ranks.RanksError, match=r"no_such_launcher.*some_rule:mpi="):
        ranks.start_ranks(job(tasks=2, mpi="no_such_launcher --quickly"))
