"""Systems withdraw from a finished study by the command, with a run without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from tiny_study import ROOT

from popinv.store import storage

pytestmark = [pytest.mark.firedrake, pytest.mark.full]


def withdrawn(folder, *options):
    command = [sys.executable, "-c", "from popinv.cli.commands import popinv; popinv()", "withdraw"]
    return subprocess.run(
        [*command, "config.yaml", *options, "--cores", "2", "--workflow-profile", "none"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


def test_systems_withdraw_and_the_study_runs_without_them(finished):
    done = withdrawn(finished.folder, "--systems", "3,17", "--rerun")
    assert done.returncode == 0, done.stdout
    # The finished study is not touched.
    assert "tiny, round 0: solving" not in done.stdout
    assert "tiny_without" in done.stdout
    results = finished.folder / "results"
    whole, rest = (
        storage.load(results / name / "observations.zarr.zip")["y"].values
        for name in ("tiny", "tiny_without")
    )
    np.testing.assert_array_equal(rest, np.delete(whole, [3, 17], axis=0))
    truth = storage.load(results / "tiny_without" / "truth.zarr.zip")
    assert truth.sizes["sample"] == 238
    folder = results / "tiny" / "downstream" / "withdrawal"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["withdrawn"] == 2
    # Another surrogate, of a study so tiny, has an error of its own.
    assert metrics["rerun_from_short_fit"] < 2.0
    answers = pd.read_csv(folder / "answers.csv")
    assert {"all systems", "one step", "short fit", "rerun"} <= set(answers.columns)
    assert "most influential systems, of 200" in done.stdout
    again = withdrawn(finished.folder, "--systems", "3,17", "--rerun")
    assert "Nothing to be done" in again.stdout
    fewer = withdrawn(finished.folder, "--systems", "3")
    assert fewer.returncode == 0, fewer.stdout
    assert "withdrawing systems" in fewer.stdout
    assert "rerun" not in pd.read_csv(folder / "answers.csv").columns
