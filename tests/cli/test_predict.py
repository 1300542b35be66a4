"""The command that predicts new systems: its files, its page, and its messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from study_sections import moments

import popinv as package
from popinv.cli.commands import popinv
from popinv.cli.predict import default_folder
from popinv.report.gathering import predictions_of
from popinv.report.pages import write_index_of
from popinv.store import storage
from popinv.workflow.comparison import verify

TIMES = np.linspace(0.0, 1.0, 4)
NEW = "system,s1,s3\nfar,90,90\nnear,1.0,1.1\nunseen,,\n"


def line(z, times):
    return z[:, :1] + z[:, 1:] * np.asarray(times)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small study with a surrogate."""
    rng = np.random.default_rng(1)
    z = np.array([1.0, 0.5]) + 0.4 * rng.standard_normal((40, 2))
    y = line(z, TIMES) + 0.1 * rng.standard_normal((40, 4))
    result = package.fit(
        pd.DataFrame(y, columns=["s1", "s2", "s3", "s4"]),
        line,
        law={
            "kind": "normal",
            "start": moments(a=(1.0, 0.5), b=(0.5, 0.5)),
        },
        noise="isotropic",
        times=TIMES,
        estimator="pseudo_likelihood",
        tests=False,
        active_learning={"rounds": 1, "first_design": 100},
        surrogate={"width": 8, "depth": 1, "max_epochs": 60},
        descent={"iterations": 10, "legs": 1, "model_samples": 50, "directions": 8},
        assessment={"surrogate_check": 40},
        progress=False,
    )
    return result.save(tmp_path_factory.mktemp("results") / "lines")


def ran(*arguments: object):
    return CliRunner().invoke(popinv, ["predict", *map(str, arguments)])


def test_tables_pictures_and_the_report(study, arviz, tmp_path, monkeypatch):
    monkeypatch.setattr("popinv.charts.saving._DPI", 30)
    # As many as are kept, whatever their effective number.
    sampling = "popinv.methods.posterior.sampling"
    for name, value in {"WARMUP": 5, "_FIRST_CHECK": 20, "LARGEST_R_HAT": 1e9}.items():
        monkeypatch.setattr(f"{sampling}.{name}", value)
    monkeypatch.setattr(f"{sampling}.effective_sample_size", lambda own: np.full(2, 1e3))
    table = tmp_path / "new.csv"
    table.write_text(NEW)
    done = ran(study, table, "--fixed", "--draws", "20")
    assert done.exit_code == 0, done.output
    assert "1 of 2 systems with observations have a p-value below 0.05" in done.output
    folder = study / "predictions" / "new"
    verdicts = {verdict.path: verdict.state for verdict in verify(study)}
    assert verdicts[str(folder / "predictions.zarr.zip")] == "whole"
    assert verdicts[str(folder / "systems.csv")] == "whole"
    systems = pd.read_csv(folder / "systems.csv", index_col="system")
    assert list(systems.index) == ["far", "near", "unseen"]
    assert systems.loc["far", "p-value"] < 0.01 < systems.loc["near", "p-value"]
    assert np.isnan(systems.loc["unseen", "p-value"])
    observations = pd.read_csv(folder / "observations.csv")
    assert len(observations) == 12
    own = observations[observations["system"] == "near"]
    assert list(own["observation"]) == ["s1", "s2", "s3", "s4"]
    np.testing.assert_array_equal(own["given"], [1.0, np.nan, 1.1, np.nan])
    assert (own["with noise, 2.5 %"] < own["without noise, 2.5 %"]).all()
    stored = storage.load(folder / "predictions.zarr.zip")
    assert dict(stored["z"].sizes) == {"chain": 1, "draw": 20, "system": 3, "parameter": 2}
    pictures = sorted(path.name for path in (folder / "figures").glob("*.png"))
    assert pictures == ["far.png", "near.png", "unseen.png"]
    (listed,) = predictions_of(study.parent, "lines")
    assert (listed.table, listed.systems, listed.far) == ("new", 3, 1)
    page = write_index_of(study.parent).read_text()
    assert 'href="../lines/predictions/new/systems.csv"' in page


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("system,s1,s9\na,1,1\n", (), "'s9' is no sensor of the study"),
        (NEW, ("--at", "2.5"), "the surrogate has learned the study's own times alone"),
        (NEW, ("--at", "s9"), "at: got 's9'"),
        (NEW, ("--through", "solver"), "a function that was not stored"),
    ],
)
def test_messages_of_the_command(study, tmp_path, text, options, words):
    table = tmp_path / "new.csv"
    table.write_text(text)
    done = ran(study, table, *options)
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_show_samples_the_systems_of_any_study(study, monkeypatch):
    sampling = "popinv.methods.posterior.sampling"
    for name, value in {"WARMUP": 5, "_FIRST_CHECK": 20, "LARGEST_R_HAT": 1e9}.items():
        monkeypatch.setattr(f"{sampling}.{name}", value)
    monkeypatch.setattr(f"{sampling}.effective_sample_size", lambda own: np.full(2, 1e3))
    done = CliRunner().invoke(popinv, ["show", str(study), "--systems"])
    assert done.exit_code == 0, done.output
    assert "lines: sampling the parameters of 40 systems" in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert rows[0] == ["system", "a", "b"]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(40)]


def test_predictions_do_not_replace_a_study(study, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in study.glob("*.*")}
    (tmp_path / "...csv").write_text(NEW)
    done = ran(study, tmp_path / "...csv", "--fixed", "--draws", "20", "--to", study)
    assert "holds a study; name another folder for its predictions (--to)" in done.output
    assert default_folder(study, tmp_path / "...csv") == study / "predictions" / "table"
    assert default_folder(study, Path("a.b.csv.gz")) == study / "predictions" / "a.b"
    assert before == {path: path.stat().st_mtime_ns for path in study.glob("*.*")}


def test_a_missing_table_and_a_missing_study(study, tmp_path):
    assert "there is no such file" in ran(study, tmp_path / "none.csv").output
    assert "there is no such folder" in ran(tmp_path / "none", tmp_path / "none.csv").output
