"""The tables of accuracy are written from the answers of finished studies."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from answers import TRUE, write

from popinv.workflow.records import Record

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from tables import accuracy  # noqa: E402


def finished(folder: Path, job: str, commit: str) -> None:
    machine = {"host": "secret", "processor": "a processor", "cores": "4", "system": "x"}
    made = folder / "made" / f"{job}.json"
    made.parent.mkdir(parents=True, exist_ok=True)
    Record(*("rule", {}, {}, "", {}, {}), {"commit": commit}, machine, 12.5).write(made)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Copies of the tables, and results of two studies, three seeds and a comparison."""
    tables = tmp_path / "tables"
    tables.mkdir()
    for file in accuracy.FOLDER.glob("*.csv"):
        (tables / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(accuracy, "FOLDER", tables)
    for name in ("porous_1d_correlated", "soil", "seed_1", "seed_2", "seed_3"):
        write(tmp_path / "results" / name, TRUE)
        finished(tmp_path / "results" / name, "assess_population", "b" * 40)
    compared = {"full": {"alpha_relative_error_rms": 0.25, "seconds": 3.0}}
    compared["full"]["noise_covariance_relative_frobenius_error"] = 0.5
    baselines = tmp_path / "results" / "evidence" / "baselines"
    baselines.mkdir(parents=True)
    (baselines / "comparison.json").write_text(json.dumps(compared))
    finished(tmp_path / "results" / "evidence", "compare_baselines", "c" * 40)
    return tmp_path / "results"


def rows(name: str) -> list[dict[str, str]]:
    with (accuracy.FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_the_row_of_a_study_is_replaced_and_the_others_stay(results):
    before = rows("systems_1000")
    accuracy.main(results)
    after = rows("systems_1000")
    assert after[1:] == before[1:]
    assert after[0] == {
        "study": "porous flow, 1-D",
        "noise": "correlated",
        "answered by": "likelihood",
        # (0.512 - 0.5) / 0.5
        "largest error of the law": "0.024 (mean)",
        "error of the noise covariance": "0.040",
        "law, error to oracle's": "1.50",
        "noise, error to oracle's": "0.80",
        "surrogate error, noise standard deviations": "0.071",
        "solver calls": "5500",
        "commit": "bbbbbbbb",
        "machine": "a processor",
    }


def test_ratios_of_three_seeds_are_those_of_root_mean_squares(results):
    accuracy.main(results)
    by_name = {row["quantity"]: row for row in rows("three_seeds")}
    # Errors of 0.03 and 0.04 beside oracles of 0.02 and 0.05, the same for each seed.
    ratio = "root mean square error to oracle's"
    assert by_name["law: mean"][ratio] == "1.50 (the whole law)"
    assert by_name["noise: relative error of the covariance"][ratio] == "0.80"
    assert by_name["law: mean"]["seed 3"] == "0.512"


def test_another_method_has_its_errors(results):
    accuracy.main(results)
    full = next(row for row in rows("methods") if row["method"] == "full gradient")
    assert full["law, root mean square error"] == "0.250"
    assert full["noise covariance, error"] == "0.500"
    assert full["commit"] == "cccccccc"


def test_columns_are_those_of_the_tables(results):
    assert list(rows("systems_10000")[0]) == list(rows("systems_1000")[0])
    accuracy.main(results)
    assert "secret" not in "".join(f.read_text() for f in accuracy.FOLDER.glob("*.csv"))
