"""`popinv new-study` with a file: each column has a use that is told, and the study runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from commands import new_study, ran, written_study

from popinv.cli import new_study_command
from popinv.cli.first_simulators import OWN, simulator_text
from popinv.observation_files.section import FileObservations
from popinv.population.stages.import_observations import import_observations

RANDOM = np.random.default_rng(0)
pytestmark = pytest.mark.usefixtures("in_folder")


def write(text: str) -> None:
    Path("y.csv").write_text(text)


def long(names: str = "subject,time,value", systems: int = 8) -> None:
    rows = (f"{s},{t},{RANDOM.normal(5, 1):.3f}\n" for s in range(systems) for t in (0, 1, 2))
    write(names + "\n" + "".join(rows))


# --- long tables --------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["subject,time,value", "a,b,c"])
def test_a_long_file_is_never_read_as_wide(names: str) -> None:
    long(names)
    said = new_study()
    assert "a long table" in said
    assert "8 systems with 3 observations each, at 3 different times" in said
    assert "24 systems" not in said
    system, time, value = names.split(",")
    assert [line.split()[:2] for line in said.splitlines() if "  " in line][2:5] == [
        [system, "system"],
        [time, "time"],
        [value, "value"],
    ]
    section = written_study().observations
    assert section.layout == "long"
    assert (section.system_column, section.time_column, section.value_column) == (
        system,
        time,
        value,
    )
    assert written_study().forward.observations.times == [0, 1, 2]
    assert written_study().forward.observations.name == value
    assert "those of the 8 systems in y.csv" in ran("try", "mine.yaml")


def test_a_long_file_without_names_makes_no_study() -> None:
    long("")
    message = new_study("--forward", "python", code=1)
    assert "y.csv: looks like a long table, as column 1 repeats and column 2 increases" in message
    assert "name the columns in a first line, or state --layout wide" in message
    assert not Path("mine.yaml").exists()
    said = new_study("--layout", "wide", "--forward", "python")
    assert "24 systems with 3 observations each" in said


def test_what_cannot_be_known_is_stated() -> None:
    rows = (f"{s},{t},{RANDOM.random()},{RANDOM.random()}\n" for s in range(8) for t in (0, 1, 2))
    write("subject,time,u,v\n" + "".join(rows))
    assert "Which column holds the observed values? State --value: u, v." in new_study(code=1)
    assert [path.name for path in Path().iterdir()] == ["y.csv"]
    assert "as --value says" in new_study("--value", "v")
    assert written_study().observations.value_column == "v"


def test_what_cannot_be_known_is_asked_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (f"{s},{t},{RANDOM.random()},{RANDOM.random()}\n" for s in range(8) for t in (0, 1, 2))
    write("subject,time,u,v\n" + "".join(rows))

    monkeypatch.setattr(new_study_command, "_at_a_terminal", lambda: True)
    told = ran("new-study", "mine", "--observations", "y.csv", typed="w\nu\n")
    assert "Which column holds the observed values? (--value)" in told
    assert written_study().observations.value_column == "u"


def test_only_own_simulators_take_long_tables() -> None:
    long()
    message = new_study("--forward", "porous_flow", code=1)
    assert "--forward executable, python, umbridge; got porous_flow" in message
    assert [path.name for path in Path().iterdir()] == ["y.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--system", "subjct"), "Did you mean 'subject'?"),
        (("--layout", "wide", "--time", "time"), "--time names a column of a long table"),
    ],
)
def test_options_that_cannot_be(options: tuple[str, ...], words: str) -> None:
    long()
    assert words in new_study(*options, code=1)


def test_options_need_a_file() -> None:
    assert "state --observations" in ran("new-study", "mine", "--layout", "long", code=2)
    np.save("y.npy", np.ones(3))
    assert "only a CSV file has a layout" in ran(
        "new-study", "mine", "--observations", "y.npy", "--layout", "long", code=1
    )


def test_known_columns_are_named_in_the_file_and_can_be_used() -> None:
    rows = "".join(
        f"P{s},{'fm'[s % 2]},{s % 3},{60 + 1.5 * s},{t},{RANDOM.normal(5, 1):.3f}\n"
        for s in range(12)
        for t in (0, 1.5, 3)
    )
    write("who,sex,arm,body weight,hour,conc\n" + rows)
    assert "text with 2 different values; it may be design or covariate" in new_study()
    text = Path("mine.yaml").read_text()
    assert "#   sex (text, as sex_f, sex_m)\n" in text
    assert "#   arm (a number; if it is a category, as arm_0, arm_1, arm_2)\n" in text
    assert "#   body weight; a design needs a name of letters, digits and _ in the file\n" in text
    used = text.replace("[size, rate]", "[size, rate]\n      design: [arm]").replace(
        "law:\n      kind: lognormal",
        "law:\n      kind: lognormal\n      covariates: {size: [sex_m, arm_1]}",
    )
    Path("mine.yaml").write_text(used)
    code = Path("mine/simulator.py")
    code.write_text(code.read_text().replace("solve(z, times)", "solve(z, design, times)"))
    assert "those of the 12 systems" in ran("try", "mine.yaml")


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ("CENS", {"censoring_column": "CENS"}),
        ("CENS,LIMIT", {"censoring_column": "CENS", "limit_column": "LIMIT"}),
        ("LLOQ", {"censored_below": {"column": ["LLOQ"]}}),
    ],
)
def test_columns_of_limits_are_taken_and_used(names: str, keys: dict[str, object]) -> None:
    random, rows = np.random.default_rng(1), []
    for s in range(12):
        for t, seen in enumerate(random.normal((5, 3, 1), 0.8)):
            cells = {"CENS": int(seen < 1), "LIMIT": 0 if seen < 1 else "", "LLOQ": 1}
            rows.append([s, t, max(seen, 1), *(cells[name] for name in names.split(","))])
    beyond = sum(row[2] == 1 for row in rows)
    assert beyond > 3
    write(f"ID,TIME,DV,{names}\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    assert f"beyond a limit: {beyond} values" in new_study()
    stated = written_study().observations.model_dump()
    assert {key: stated[key] for key in keys} == keys
    taken = imported()
    assert np.count_nonzero(taken["y"] <= taken["censored_below"]) == beyond


def test_columns_that_are_named_like_marks_and_hold_other_numbers_are_no_marks() -> None:
    rows = "".join(
        f"{s},{t},{RANDOM.normal(5, 1):.3f},{s + t}\n" for s in range(8) for t in (0, 1, 2)
    )
    write("subject,time,value,cens\n" + rows)
    assert "beyond a limit" not in new_study()
    assert written_study().observations.censoring_column is None


def test_dates_quantities_and_stand_ins() -> None:
    rows = "".join(
        f"S{s},2024-03-{1 + 9 * t:02d},{w},{-999 if (s, t) in ((1, 0), (2, 1)) else s + t}\n"
        for s in range(10)
        for t in range(3)
        for w in ("high", "low")
    )
    write("site,day,what,y\n" + rows)
    said = new_study()
    assert "10 systems with 4 to 6 observations each, at 3 different times" in said
    assert "the dates in 'day' are read as days since the first of them" in said
    assert "the column 'y' holds -999 4 times, read as missing" in said
    assert "4 of 60 rows have no value and are left out" in said
    assert written_study().forward.observations.times == [0, 9, 18]
    assert written_study().forward.observations.labels == ["high", "low"]
    assert written_study().observations.missing_values == [-999]
    assert "for high and then for low" in Path("mine/simulator.py").read_text()
    ran("try", "mine.yaml")


def test_systems_with_times_that_no_other_has() -> None:
    rows = (f"{s},{t + s / 100:.2f},{RANDOM.normal(5, 1):.3f}\n" for s in range(8) for t in (0, 1))
    write("subject,time,conc\n" + "".join(rows))
    assert "8 systems with 2 observations each, at 16 different times" in new_study()
    ran("try", "mine.yaml")
    assert imported()["column"].values[1] == "t = 0.01"
    assert int(imported()["y"].notnull().sum()) == 16


def imported() -> xr.Dataset:
    made = written_study()
    assert isinstance(made.observations, FileObservations)
    return import_observations(made.forward, made.law, made.observations, seed=1)


# --- wide tables --------------------------------------------------------------------------------


def wide(head: str, named: bool = True, rows: int = 30) -> None:
    count = head.count(",") + (not named)
    write(
        head
        + "\n"
        + "".join(
            (f"N{i}," if named else "")
            + ",".join(f"{RANDOM.normal(5, 1):.3f}" for _ in range(count))
            + "\n"
            for i in range(rows)
        )
    )


@pytest.mark.parametrize(
    ("head", "named", "system"),
    [("site,p,q,r", True, "site"), ("id,0,0.25,0.5", True, "id"), ("p,q,r", False, None)],
)
def test_wide_files(head: str, named: bool, system: str | None) -> None:
    wide(head, named)
    said = new_study("--forward", "python")
    assert "30 systems with 3 observations each" in said
    assert "long" not in said
    assert written_study().observations.system_column == system
    assert written_study().forward.observations.count == 3
    assert imported()["column"].values.tolist() == head.split(",")[named:]
    text = Path("mine.yaml").read_text()
    assert ("If the names of the columns are times" in text) == ("0.25" in head)
    ran("try", "mine.yaml")


def test_columns_of_a_wide_file_without_observations() -> None:
    rows = "".join(
        f"{100 + 3 * s},{'fm'[s % 2]},{RANDOM.random()},{RANDOM.random()}\n" for s in range(20)
    )
    write("plot_id,sex,p,q\n" + rows)
    assert "it may be design or covariate" in new_study("--forward", "python")
    assert written_study().observations.ignored_columns == ["sex"]
    assert written_study().forward.observations.count == 2
    ran("try", "mine.yaml")
    text = Path("mine.yaml").read_text()
    covariates = "kind: lognormal\n      covariates: {size: [sex_m]}"
    Path("mine.yaml").write_text(text.replace("kind: lognormal", covariates))
    ran("try", "mine.yaml")


def test_many_columns_of_one_use_are_one_line() -> None:
    wide(",".join(["site", *(f"p{i}" for i in range(40))]))
    assert "p0 ... p39 (40)" in new_study("--forward", "python")


def test_stand_ins_of_a_wide_file() -> None:
    rows = "".join(f"{s / 7},{-9999 if s in (3, 5) else s}\n" for s in range(12))
    write("p,q\n" + rows)
    assert "column 2 (q) holds -9999 2 times, read as missing" in new_study("--forward", "python")
    assert written_study().observations.missing_values == [-9999]
    assert written_study().observations.missing == "mask"
    ran("try", "mine.yaml")


# --- simulators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("labels", [[], ["a", "b"]])
@pytest.mark.parametrize("times", [[], [0.5, 1.0, 3.0], [float(i) for i in range(40)]])
def test_first_simulators_are_code(kind: str, labels: list[str], times: list[float]) -> None:
    text = simulator_text(kind, max(1, len(labels)) * max(1, len(times)), times, labels)
    compile(text, kind, "exec")
    assert "$" not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("kind", ["python", "executable"])
def test_first_simulators_agree(kind: str) -> None:
    long()
    new_study("--forward", kind)
    model = written_study().forward.model(1)
    y = model.solve(np.array([[2.0, 0.5]])).observations
    np.testing.assert_allclose(y, 2 * np.exp(-0.5 * np.array([[0, 0.5, 1]])))


def test_the_server_answers(tmp_path: Path) -> None:
    umbridge = pytest.importorskip("umbridge")
    long()
    assert "python mine/server.py" in new_study("--forward", "umbridge")
    assert yaml.safe_load(Path("mine.yaml").read_text())["studies"]["mine"]["forward"]["url"]
    code = "import runpy; m = runpy.run_path('mine/server.py')['Simulator']('forward'); "
    code += "print(m([[2.0, 0.5]], {}), m.get_input_sizes({}), m.get_output_sizes({}))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.startswith("[[2.0, 1.55760156")
    assert printed.rstrip().endswith("[2] [3]")
    assert umbridge.__name__ == "umbridge"
