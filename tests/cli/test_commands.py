"""The command `popinv`: new studies that pass every check, and what studies found."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from answers import ANSWER, write
from click.testing import CliRunner
from commands import ran, written_study

from popinv.cli.commands import popinv
from popinv.config.loading import load_file
from popinv.forward.examples import example_kinds
from popinv.forward.kinds import KINDS


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Work in an empty folder; what a command imports from there is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_help_names_every_command():
    printed = ran("--help")
    for command in [
        "doctor",
        "new-study",
        "try",
        "run",
        "show",
        "report",
        "plan",
        "docs",
        "unlock",
    ]:
        assert f"\n  {command} " in printed


def test_the_kinds_offered_are_those_there_are():
    (forward,) = (p for p in popinv.commands["new-study"].params if p.name == "forward")
    assert set(forward.type.choices) == set(KINDS)


@pytest.mark.parametrize("kind", example_kinds())
def test_a_new_study_passes_the_checks_and_is_never_overwritten(kind):
    assert "popinv run mine.yaml" in ran("new-study", "mine", "--forward", kind)
    study = written_study()
    assert study.forward.kind == kind
    before = Path("mine.yaml").read_bytes()
    assert "is there already" in ran("new-study", "mine", "--forward", kind, code=1)
    assert Path("mine.yaml").read_bytes() == before


def write_seen() -> None:
    values = np.random.default_rng(0).normal(size=(30, 7))
    np.savetxt("seen.csv", values, delimiter=",", header=",".join("abcdefg"), comments="")


@pytest.mark.parametrize("kind", ["python", "porous_flow"])
def test_observations_decide_how_many_entries_there_are(kind):
    write_seen()
    ran("new-study", "mine", "--forward", kind, "--observations", "seen.csv")
    forward = written_study().forward
    count = forward.observations.count if kind == "python" else forward.sensors.count
    assert count == 7


def test_the_first_simulator_answers_as_the_configuration_says(monkeypatch):
    ran("new-study", "mine", "--forward", "python")
    monkeypatch.syspath_prepend("mine")
    monkeypatch.delitem(sys.modules, "simulator", raising=False)
    from simulator import solve

    z = np.array([[2.0, 0.5], [1.0, 0.0]])
    y = solve(z)
    assert y.shape == (2, 10)
    np.testing.assert_allclose(y[0], 2 * np.exp(-0.5 * np.linspace(0, 4, 10)))
    np.testing.assert_allclose(y[1], 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a/b",), "the name is 'a/b'; allowed are letters"),
        (("my study",), "Take my_study?"),
        (("x", "--forward", "heat"), "'heat' is not one of"),
        (("x", "--observations", "nothere.csv"), "nothere.csv: there is no such file"),
        (("report",), "taken by a folder of the workflow"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(arguments, message):
    done = CliRunner().invoke(popinv, ["new-study", *arguments])
    assert done.exit_code != 0
    assert message in done.output
    assert not list(Path().iterdir())


def test_observations_that_do_not_fit_leave_nothing():
    write_seen()
    done = ran("new-study", "mine", "--forward", "lorenz96", "--observations", "seen.csv", code=1)
    assert "7 columns" in done
    assert [path.name for path in Path().iterdir()] == ["seen.csv"]


LOGGED = "catchment;Q(1 h) [m3/s];Q(2 h)\r\nC01;1.5;0.2\r\nC02;;0.4\r\n"


def logged(folder: Path = Path(), rows: int = 30) -> Path:
    """Write a file as spreadsheets do: names, units, semicolons, a gap, Windows' line ends."""
    more = "".join(f"C{i};{1 + i};{0.1 * i}\r\n" for i in range(3, rows + 1))
    file = folder / "logged.csv"
    file.write_bytes((LOGGED + more).encode())
    return file


def test_names_and_gaps_of_a_file_are_seen_and_told():
    done = ran("new-study", "my-study", "--forward", "python", "--observations", str(logged()))
    assert "30 systems with 1 to 2 observations each" in done
    assert "catchment      system    text in the first column" in done
    assert "missing: 1 values" in done
    study = load_file(Path("my-study.yaml")).studies["my-study"]
    assert study.forward.observations.count == 2
    assert study.observations.system_column == "catchment"
    assert study.observations.missing == "mask"
    spread = np.median([np.std([1.5, *range(4, 32)]), np.std([0.2, 0.4, *np.arange(3, 31) / 10])])
    assert study.noise.start.standard_deviation == float(f"{0.3 * spread:.1g}")


def test_times_above_the_systems_are_seen_and_told():
    times, values = np.arange(4.0), np.random.default_rng(0).normal(size=(20, 4))
    np.savetxt("seen.csv", np.vstack([times, values]), delimiter=",")
    done = ran("new-study", "mine", "--forward", "python", "--observations", "seen.csv")
    assert "20 systems with 4 observations each" in done
    assert "read as places or times, and left out: the first line" in done
    assert written_study().observations.header is True


def test_a_sensor_that_never_varies_makes_no_study():
    values = np.random.default_rng(0).normal(size=(20, 4))
    values[:, 2] = 0.5
    np.savetxt("seen.csv", values, delimiter=",")
    done = ran("new-study", "mine", "--observations", "seen.csv", code=1)
    assert "seen.csv: column 3 is 0.5 in all 20 systems" in done
    assert [path.name for path in Path().iterdir()] == ["seen.csv"]


SIMULATOR = """\
import numpy as np

def solve(z):
    return np.array([one(size, rate) for size, rate in z])

def one(size, rate):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return [size, size * rate]", 0, "their observations lie between"),
        ("return [size, missing]", 1, "8 of them failed: NameError: name 'missing' is not defined"),
        ("return [size]", 1, "(1, 2) is expected"),
        ("import not_installed", 1, "8 of them failed: ModuleNotFoundError"),
    ],
)
def test_a_trial_says_what_a_simulator_does(body, status, said):
    ran("new-study", "mine", "--forward", "python", "--observations", str(logged()))
    Path("mine", "simulator.py").write_text(SIMULATOR.format(body=body))
    done = ran("try", "mine.yaml", code=status)
    assert said in done
    assert ("a round tolerates a share of 0.05" in done) == ("failed" in said)
    if status == 0:
        assert "those of the 30 systems in logged.csv lie between 0.2 and 31" in done
        assert "both are drawn in results/mine/trial.png" in done
        drawn = Path("results/mine/trial.csv").read_text()
        assert "8 solves" in drawn
        assert "systems observed" in drawn
        assert "of which its 2,500 solves take" in done  # 1000, twice 500, and 500 to judge with


def test_a_trial_of_few_solves_suggests_a_gaussian_process():
    ran("new-study", "mine", "--forward", "python", "--observations", str(logged()))
    file = Path("mine.yaml")
    text = file.read_text()
    assert "surrogate: {kind: gaussian_process}" in text
    assert "gaussian_process" not in ran("try", "mine.yaml")
    few = text.replace("first_design: 1000, solves_per_round: 500", "first_design: 100")
    few = few.replace("rounds: 3", "rounds: 1")
    file.write_text(few + "    assessment: {surrogate_check: 50}\n")
    done = ran("try", "mine.yaml")
    assert "few solves for a network" in done
    assert "set 'surrogate: {kind: gaussian_process}'" in done
    file.write_text(few + "    surrogate: {kind: gaussian_process}\n")
    done = ran("try", "mine.yaml")
    assert "of which its 140 solves take" in done
    assert "few solves" not in done


def test_a_trial_says_what_to_do_about_a_package_that_is_not_there():
    ran("new-study", "mine", "--forward", "python")
    Path("mine", "simulator.py").write_text("import not_installed\n\ndef solve(z): return z\n")
    done = ran("try", "mine.yaml", code=1)
    assert "No module named 'not_installed'" in done
    assert "-m pip install" in done


WITH_JACOBIAN = """\
import numpy as np

def solve(z):
    size, rate = z.T
    jacobian = [[size / size, 0 * size], [rate, {slope}]]
    rows = [np.stack(row, axis=1) for row in jacobian]
    return np.stack([size, size * rate], axis=1), np.stack(rows, axis=1)
"""


@pytest.mark.parametrize(
    ("slope", "status", "said"),
    [
        ("size", 0, "the derivatives it gives agree with differences of solves"),
        ("2 * size", 1, "the derivative of observation 1 (counted from 0) in 'rate' is given as"),
    ],
)
def test_a_trial_checks_derivatives(slope, status, said):
    ran("new-study", "mine", "--forward", "python", "--observations", str(logged()))
    file, kind = Path("mine.yaml"), "kind: python"
    file.write_text(file.read_text().replace(kind, f"{kind}\n      derivatives: jacobian"))
    Path("mine", "simulator.py").write_text(WITH_JACOBIAN.format(slope=slope))
    assert said in ran("try", "mine.yaml", code=status)


def test_a_trial_stops_at_a_wrong_configuration():
    ran("new-study", "mine", "--forward", "python")
    file = Path("mine.yaml")
    file.write_text(file.read_text().replace("rounds:", "runds:"))
    assert "Did you mean 'rounds'?" in ran("try", "mine.yaml", code=1)
    assert "nothere.yaml: there is no such configuration" in ran("try", "nothere.yaml", code=1)


def test_what_is_not_there_yet_is_told_with_what_to_do():
    Path("results", "begun", "logs").mkdir(parents=True)
    Path("results", "done").mkdir()
    Path("results", "done", "metrics.json").write_text("{}")
    assert "Run it again" in ran("show", "results/begun", code=1)
    assert "Did you mean results/done?" in ran("show", "done", code=1)
    assert "run NAME.yaml" in ran("show", "elsewhere", code=1)


def test_results_are_shown_by_folder_or_all_together():
    assert "no study is finished there" in ran("show", code=1)
    for name in ("one", "two"):
        write(Path("results", name), ANSWER)
    both = ran("show")
    assert "one" in both
    assert "two" in both
    assert ran("show", "results/one") == ran("show", "results/one/metrics.json")
    assert "two" not in ran("show", "results/one")
