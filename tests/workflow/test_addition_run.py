"""Systems join a finished study by the command: the rounds stay, and the answer is that of all."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from linear_doses import maximum
from linear_doses import table as table_of_doses
from tiny_study import ROOT

import popinv
from popinv.cli.verify import verified

sys.path.insert(0, str(ROOT / "tests" / "api"))

import boys
from test_inputs_run import SIMULATOR, STUDY

pytestmark = pytest.mark.full


def command(folder: Path, *arguments: str) -> str:
    program = [sys.executable, "-c", "from popinv.cli.commands import popinv; popinv()"]
    options = ["--cores", "1", "--workflow-profile", "none"]
    done = subprocess.run(
        [*program, *arguments, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_boys_join_the_study(tmp_path, monkeypatch):
    table = boys.table()
    table["age"] = table.groupby("Occasion")["age"].transform("median").round(4)
    names = table["Subject"].unique()
    parts = {"first.csv": names[:24], "one.csv": names[24:25], "two.csv": names[25:]}
    for file, own in parts.items():
        table[table["Subject"].isin(own)].to_csv(tmp_path / file, index=False)
    shutil.copy(boys.FILE.parent / "models.py", tmp_path)
    example = yaml.safe_load((ROOT / "config/examples/boys_heights.yaml").read_text())
    study = example["studies"]["boys_heights"]
    study["forward"]["path"] = "."
    study["forward"]["observations"]["times"]["file"] = "first.csv"
    study["observations"]["file"] = "first.csv"
    study["surrogate"] = {"kind": "none"}
    study["law"]["correlations"] = False
    study["descent"] = {"iterations": 20}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(example))
    command(tmp_path, "run", "mine.yaml")
    results = tmp_path / "results" / "boys_heights"
    before = {path: path.stat().st_mtime_ns for path in results.glob("rounds/*/*.zip")}
    told = command(tmp_path, "add", "mine.yaml", "one.csv")
    assert "may be of the same population" in told
    told = command(tmp_path, "add", "mine.yaml", "two.csv")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    both = popinv.load(results)
    assert list(both.observations.attrs["added"]) == [1, 1]
    assert list(both.observations["system_id"].values[24:]) == [str(n) for n in names[24:]]
    whole = popinv.fit(
        table,
        boys.line,
        law={**boys.LAW, "correlations": False},
        noise=boys.NOISE,
        parameters=["intercept [cm]", "slope [cm]"],
        observations={"units": "cm"},
        system_column="Subject",
        time_column="age",
        value_column="height",
        tests=False,
        progress=False,
    ).summary()
    apart = both.summary()["estimate"] - whole["estimate"]
    assert np.all(np.abs(apart) < 0.02 * whole["standard_error"])
    monkeypatch.chdir(tmp_path)
    assert verified([results.relative_to(tmp_path)], Path("mine.yaml"), None, False)[1]
    assert "nothing to do" in command(tmp_path, "run", "mine.yaml", "--dry-run")


def test_systems_join_with_doses_and_times_of_their_own(tmp_path, monkeypatch):
    rows = table_of_doses()
    parts = {"first": rows[(rows.ID < 8) & (rows.TIME < 5)], "more": rows[rows.ID >= 8]}
    for name, own in parts.items():
        own[own.EVID == 1].to_csv(tmp_path / f"{name}_doses.csv", index=False)
        own.loc[own.EVID == 0, ["ID", "TIME", "DV"]].to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "doses.py").write_text(SIMULATOR)
    study = copy.deepcopy(STUDY)
    study["forward"]["inputs"]["file"] = "first_doses.csv"
    study["forward"]["observations"]["times"] = {"file": "first.csv", "column": "TIME"}
    study["observations"]["file"] = "first.csv"
    text = yaml.safe_dump({"seed": 1, "studies": {"doses": study}})
    (tmp_path / "mine.yaml").write_text(text)
    command(tmp_path, "run", "mine.yaml")
    results = tmp_path / "results" / "doses"
    before = {path: path.stat().st_mtime_ns for path in results.glob("rounds/*/*.zip")}
    command(tmp_path, "add", "mine.yaml", "more.csv", "--inputs", "more_doses.csv")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    monkeypatch.chdir(tmp_path)
    both = popinv.load("results/doses")
    largest, at = maximum(pd.concat(parts.values()))
    assert both.metrics["log_likelihood"] == pytest.approx(largest, abs=1e-3)
    summary = both.summary()
    apart = (summary["estimate"] - at) / summary["standard_error"]
    assert apart.abs().max() < 0.02
    assert both.posterior().sizes["system"] == 12
    assert verified([Path("results/doses")], Path("mine.yaml"), None, False)[1]
    assert "nothing to do" in command(tmp_path, "run", "mine.yaml", "--dry-run")
    # All at once, in an empty folder.
    shutil.move("results", "earlier")
    command(tmp_path, "run", "mine.yaml")
    pd.testing.assert_frame_equal(popinv.load("results/doses").summary(), summary)
