"""What `popinv new-study` tells of a table: gaps, doses, limits, columns, equal systems, times."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import new_study, ran, written_study

from popinv.api.data import given_data
from popinv.config.loading import load_file
from popinv.observation_files.survey import survey
from popinv.population.stages.import_observations import import_observations
from popinv.sections.tables import read_frame

REAL = Path(__file__).parents[2] / "config/examples/real_data"
TIMES = (0.5, 1.0, 2.0, 4.0)
pytestmark = pytest.mark.usefixtures("in_folder")


def new(lines: list[str], *options: str, said: int = 0) -> str:
    Path("y.csv").write_text("\n".join(lines) + "\n")
    return new_study(*options, code=said)


def imported() -> xr.Dataset:
    made = written_study()
    return import_observations(made.forward, made.law, made.observations, seed=1)


def curves(systems: int = 20, seed: int = 0) -> list[str]:
    """Return rows of system, time and value."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(0.3 * rng.standard_normal(systems))
    return [
        f"{s},{t},{size * np.exp(-t / 3) + 0.05 * rng.standard_normal():.4f}"
        for s, size in enumerate(sizes)
        for t in TIMES
    ]


# --- rows without a value -----------------------------------------------------------------------


def test_rows_without_a_value_are_left_out_and_counted() -> None:
    gaps = [f"{s},{12 + s / 100}," for s in range(5)]
    said = new(["id,time,y", *curves(), *gaps])
    assert "5 of 85 rows have no value and are left out" in said
    assert "20 systems with 4 observations each, at 4 different times" in said
    assert written_study().forward.observations.times == list(TIMES)
    learned = imported()
    assert np.isfinite(learned["y"].values).all()


def test_a_stated_number_for_a_missing_value_has_no_time_either() -> None:
    said = new(["id,time,y", *curves(), "0,7,-999", "1,8,-999", "2,9,-999"])
    assert "holds -999 3 times, read as missing" in said
    assert written_study().forward.observations.times == list(TIMES)


def test_the_same_rows_in_memory_have_no_time() -> None:
    cells = [row.split(",") for row in curves()]
    table = pd.DataFrame(cells, columns=["id", "time", "y"]).astype(float)
    table.loc[len(table)] = [3.0, 12.01, np.nan]
    columns = {"system_column": "id", "time_column": "time", "value_column": "y"}
    assert given_data(table, columns).described["times"] == list(TIMES)


# --- doses --------------------------------------------------------------------------------------


def dosed(amounts: list[float], each: int = 1) -> list[str]:
    """Return the rows of a file with doses at the start of each system."""
    rows = []
    for s, amount in enumerate(amounts):
        rows += [f"{s},0,{amount * (d + 1)},1," for d in range(each)]
        rows += [f"{i},{t},,0,{y}" for i, t, y in (r.split(",") for r in curves()) if i == str(s)]
    return rows


def test_rows_of_doses_are_told_and_the_dose_may_be_design() -> None:
    said = new(["ID,TIME,AMT,EVID,DV", *dosed([100 + s for s in range(20)])])
    assert "20 of 100 rows are doses without a value and are left out" in said
    assert "the simulator gets 'AMT' of each system as design" in said
    assert "the dose of each system; it may be design or covariate" in said
    assert "it marks the rows of doses" in said
    learned = imported()
    doses = dict(
        zip(map(str, learned["system_id"].values), learned["design"].values[:, 0], strict=True)
    )
    assert doses == {str(s): 100.0 + s for s in range(20)}


def test_the_first_simulator_takes_the_dose() -> None:
    new(["ID,TIME,AMT,EVID,DV", *dosed([100 + s for s in range(20)])])
    assert "verdict: it can run" in ran("try", "mine.yaml")


def test_several_doses_at_one_time_do_not_hide_the_times() -> None:
    said = new(["ID,TIME,AMT,EVID,DV", *dosed([100.0] * 20, each=2)])
    assert "40 of 120 rows are doses without a value" in said
    assert "doses at times of their own" in said
    assert written_study().observations.time_column == "TIME"


def test_a_dose_with_a_value_is_refused() -> None:
    rows = [row.replace(",1,", ",1,0") for row in dosed([100.0] * 20)]
    said = new(["ID,TIME,AMT,EVID,DV", *rows], said=1)
    assert "the column 'EVID' marks 20 of 100 rows as doses" in said
    assert "Leave the cells of the observed quantity empty there" in said


def uses() -> dict[str, str]:
    surveyed = survey(Path("y.csv"))
    return {each.name: each.use for each in surveyed.columns}


def infused(systems: int) -> list[str]:
    """Return rows of infusions for an hour, the second at a level of its own, beside the values."""
    rng = np.random.default_rng(1)
    rows = ["ID,Time,conc,Rate,Amt"]
    for s in range(systems):
        for t in np.arange(8) / 4:
            given = 5 + s if t == 0 else 3 if t == 0.5 else 0
            value = "NA" if t == 0 else f"{1 + t + 0.1 * rng.standard_normal():.3f}"
            rows.append(f"{s},{t},{value},{given},{0.5 * given}")
    return rows


def test_doses_beside_values_become_inputs() -> None:
    said = new(infused(20))
    assert uses() == {"ID": "system", "Time": "time", "conc": "value"} | dict(
        Rate="dosing", Amt="dose"
    )
    assert "Amt     input over time  doses at times of their own" in said
    assert "all 140 values of the table are used" in said
    inputs = written_study().forward.timed_inputs()
    events = inputs.events(read_frame(Path("y.csv")))
    np.testing.assert_allclose(events["7"][:, :3], [[0.0, 6.0, 0.5], [0.5, 1.5, 0.5]])
    assert "verdict: it can run" in ran("try", "mine.yaml")


def test_an_amount_that_every_row_measures_is_no_dose() -> None:
    rng = np.random.default_rng(1)
    rows = [f"{row},{rng.uniform(1, 2):.3f}" for row in curves()]
    new(["id,time,y,amount", *rows])
    assert uses()["amount"] == "ignored"


def test_a_dose_that_every_row_states_is_known_of_its_system() -> None:
    rows = [f"{row},{100 * (int(row.split(',')[0]) % 2)}" for row in curves()]
    said = new(["id,time,y,dose", *rows])
    assert "doses without a value" not in said
    assert "constant in a system  numbers" in said


def test_doses_over_time_become_inputs() -> None:
    table = (REAL / "Phenobarb.csv").read_text()
    said = new(table.splitlines())
    assert "59 systems with 1 to 6 observations each" in said
    assert "589 of 744 rows are doses without a value" in said
    assert uses() == {
        **dict.fromkeys(("Wt", "Apgar", "ApgarInd"), "known"),
        **{"Subject": "system", "time": "time", "dose": "dose", "conc": "value"},
    }
    made = written_study()
    inputs = made.forward.timed_inputs()
    events = inputs.events(read_frame(Path("y.csv")))
    assert sum(map(len, events.values())) == 589
    np.testing.assert_allclose(events["1"][:2], [[0.0, 25.0], [12.5, 3.5]])
    learned = imported()
    assert learned.sizes["system"] == 59
    assert np.isfinite(learned["y"].values).sum() == 155


NONMEM = [
    "ID,TIME,AMT,DV,EVID,CMT,RATE,II,ADDL,MDV,WT",
    *(
        line
        for s in range(1, 9)
        for line in (
            f"{s},0,{300 + s},.,1,1,{s % 2 * 100},12,2,1,{60 + s}",
            f"{s},0.5,.,{2 + 0.1 * s},0,2,.,.,.,0,{60 + s}",
            f"{s},13,.,{6 + 0.2 * s},0,2,.,.,.,0,{60 + s}",
            f"{s},36,.,{4 + 0.1 * s},0,2,.,.,.,0,{60 + s}",
        )
    ),
]


def test_columns_of_dosing_are_no_designs_and_no_observations() -> None:
    said = new(NONMEM)
    dosing = dict.fromkeys(("CMT", "RATE", "II", "ADDL"), "dosing")
    marks = dict.fromkeys(("EVID", "MDV"), "ignored")
    own = {"ID": "system", "TIME": "time", "AMT": "dose", "DV": "value", "WT": "known"}
    assert uses() == dosing | marks | own
    assert "8 of 32 rows are doses without a value" in said
    made = written_study()
    inputs = made.forward.timed_inputs()
    assert inputs.amount_column == "AMT"
    assert made.forward.design_names() == inputs.shape().names()
    one = inputs.events(read_frame(Path("y.csv")))["1"]
    # Time, amount, duration and compartment of the dose and of two further ones.
    np.testing.assert_allclose(one, [[t, 301.0, 3.01, 1.0] for t in (0.0, 12.0, 24.0)])


def test_the_first_simulator_takes_the_doses() -> None:
    new(NONMEM)
    code = runpy.run_path("mine/simulator.py")
    solve, span = code["solve"], code["SPAN"]
    inputs = {"time": np.array([[0.0, span / 2]]), "amount": np.array([[2.0, 3.0]])}
    z, times = np.array([[0.5, 1.0]]), np.array([0.0, span / 2, span])
    half = np.exp(-0.5)
    found = np.array([[1.0, half + 1.5, half**2 + 1.5 * half]])
    np.testing.assert_allclose(solve(z, times, inputs), found)
    # Some of the times, and times of each system, give the same.
    np.testing.assert_allclose(solve(z, times[1:], inputs), found[:, 1:])
    np.testing.assert_allclose(solve(z, times[None], inputs), found)
    assert "verdict: it can run" in ran("try", "mine.yaml")


def test_one_dose_and_another_compartment_are_no_levels() -> None:
    rows = ["ID,TIME,AMT,DV,EVID,CMT,WT"]
    for s in range(1, 9):
        rows.append(f"{s},0,{300 + s},.,1,1,{60 + s}")
        rows += [f"{s},{t},.,{s / 7 + t:.2f},0,2,{60 + s}" for t in (0, 0.5, 13)]
    new(rows)
    own = {"ID": "system", "TIME": "time", "AMT": "known", "DV": "value", "WT": "known"}
    assert uses() == own | dict.fromkeys(("EVID", "CMT"), "ignored")
    assert written_study().forward.design_names() == ("AMT",)
    assert '#   amount_column: "AMT"' in Path("mine.yaml").read_text()
    assert np.isfinite(imported()["y"].values).all()


def test_a_program_is_told_of_inputs_in_a_comment() -> None:
    new(NONMEM, "--forward", "executable")
    assert '#   amount_column: "AMT"' in Path("mine.yaml").read_text()
    assert written_study().forward.timed_inputs() is None


def test_equal_doses_at_several_times_are_no_design() -> None:
    rows = [row for s in range(20) for row in (f"{s},0,100,1,", f"{s},1.5,100,1,")]
    rows += [f"{i},{t},,0,{y}" for i, t, y in (row.split(",") for row in curves())]
    rows.sort(key=lambda row: tuple(map(float, row.split(",")[:2])))
    new(["ID,TIME,AMT,EVID,DV", *rows])
    assert written_study().forward.timed_inputs() is not None


# --- limits -------------------------------------------------------------------------------------


def test_limits_in_the_cells_of_a_long_table_are_read_and_counted() -> None:
    rows = [f"{i},{t},{y if float(y) > 0.4 else '<0.4'}" for i, t, y in map(_cells, curves())]
    said = new(["id,time,y", *rows])
    count = sum("<0.4" in row for row in rows)
    assert f"beyond a limit: {count} values" in said
    assert written_study().observations.censoring_column == "y"
    values = imported()
    assert values["censored_below"].values.min() == 0.4
    assert (values["y"].values == 0.4).sum() == count


def test_limits_in_the_cells_of_a_wide_table_name_their_keys() -> None:
    cells = np.array([row.split(",")[2] for row in curves()]).reshape(20, 4)
    for at, cell in (((2, 0), "> 7"), ((5, 1), ">=7"), ((9, 2), "<0.4"), ((13, 3), "<0.5")):
        cells[at] = cell
    said = new(["a,b,c,d", *map(",".join, cells)], said=1)
    assert "(3 more columns hold limits)" in said
    assert "put the limit of every row into a column of its own" in said
    assert "censored_above: 7\n" in said
    assert "censored_below: {column: NAME OF THIS COLUMN}" in said


def test_a_reader_names_the_key_as_well() -> None:
    new(["id,time,y", *curves()])
    text = Path("y.csv").read_text().splitlines()
    text[3] = text[3].rsplit(",", 1)[0] + ",<0.4"
    Path("y.csv").write_text("\n".join(text) + "\n")
    done = ran("try", "mine.yaml", code=1)
    assert "Write the limit itself, 0.4, and state it in the section 'observations'" in done
    assert "'censored_below: 0.4'" in done


def _cells(row: str) -> list[str]:
    return row.split(",")


# --- wide tables --------------------------------------------------------------------------------


def wide(systems: int = 30, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 1, (systems, 13))
    return [[f"s{i}", *(f"{v:.3f}" for v in row)] for i, row in enumerate(values)]


NAMES = ",".join(["name", *(f"p{j}" for j in range(1, 13)), "porosity"])


def test_a_column_beside_a_series_stands_in_a_line_of_its_own() -> None:
    said = new([NAMES, *map(",".join, wide())])
    lines = [line.split("  ")[1:] for line in said.splitlines() if "observed" in line]
    assert [line[0] for line in lines] == ["p1 ... p12 (12)", "porosity"]


def test_columns_of_many_names_are_all_listed() -> None:
    names = [f"{letter}_head" for letter in "abcdefghijkl"]
    said = new([",".join(["name", *names, "porosity"]), *map(",".join, wide())])
    assert all(f"\n  {name} " in said for name in [*names, "porosity"])


def test_systems_of_a_wide_table_have_as_many_observations_as_they_hold() -> None:
    rows = wide()
    for i, row in enumerate(rows[:10]):
        row[1 : 2 + i] = [""] * (1 + i)
    said = new([NAMES, *map(",".join, rows)])
    assert "y.csv: 30 systems with 3 to 13 observations each" in said
    assert "missing: 55 values, masked" in said


@pytest.mark.parametrize("kind", ["wide", "long"])
def test_equal_systems_are_named(kind: str) -> None:
    if kind == "wide":
        rows = wide()
        rows[17][1:] = rows[3][1:]
        said = new([NAMES, *map(",".join, rows)])
        assert "'s3' and 's17'" in said
    else:
        copied = [f"77{row[1:]}" for row in curves() if row.startswith("3,")]
        said = new(["id,time,y", *curves(), *copied])
        assert "'3' and '77'" in said
    assert "equal observations" in said
    assert "it would count twice" in said
    assert "equal observations" in ran("try", "mine.yaml")


def test_systems_that_chance_makes_equal_are_not_told() -> None:
    rng = np.random.default_rng(0)
    rows = [f"s{i},{rng.integers(3)},{rng.integers(3)},{rng.integers(3)}" for i in range(40)]
    assert "equal observations" not in new(["name,a,b,c", *rows])


# --- many times ---------------------------------------------------------------------------------


def scattered(systems: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        f"{s},{t:.5f},{np.exp(-t / 5) + 0.05 * rng.standard_normal():.4f}"
        for s in range(systems)
        for t in np.sort(rng.uniform(0, 10, 5))
    ]


def repeated_visits(systems: int, jitter: float) -> list[str]:
    """Return rows at the same ten times, at unequal distances, each missed by a little."""
    rng = np.random.default_rng(0)
    return [
        f"{s},{t + jitter * rng.uniform(-1, 1):.5f},{np.exp(-t / 5) + 0.05 * rng.normal():.4f}"
        for s in range(systems)
        for t in (0.1, 0.2, 0.3, 0.5, 1, 2, 4, 8, 16, 32)
    ]


def test_many_times_are_told_with_their_cost_and_their_rounding() -> None:
    said = new(["id,time,y", *repeated_visits(12, 0.004)])
    assert "120 different times are many" in said
    assert "surrogate and noise have 120 entries, though a system has at most 10" in said
    assert "To round them to 10, by at most 0.00" in said
    # What is proposed works, without replicates.
    proposed = said.split("times: [")[1].split("]")[0]
    assert [round(float(t), 2) for t in proposed.split(",")][:4] == [0.1, 0.2, 0.3, 0.5]
    tolerance = said.split("time_tolerance: ")[1].split()[0]
    text = Path("mine.yaml").read_text()
    text = text.replace('{file: "y.csv", column: "time"}', f"[{' '.join(proposed.split())}]")
    text = text.replace("layout: long", f"layout: long\n      time_tolerance: {tolerance}")
    Path("mine.yaml").write_text(text)
    learned = imported()
    assert len(written_study().forward.observations.times) == 10
    assert np.isfinite(learned["y"].values).sum() == 120


def test_times_that_cannot_be_rounded_a_little_are_told_without_a_proposal() -> None:
    said = new(["id,time,y", *scattered(12)])
    assert "60 different times are many" in said
    assert "To round them" not in said


def test_fewer_times_are_not_told() -> None:
    assert "are many" not in new(["id,time,y", *scattered(9)])


# --- the forward model --------------------------------------------------------------------------


def test_a_study_without_a_forward_model_is_one_of_python() -> None:
    assert "wrote mine/simulator.py" in new([NAMES, *map(",".join, wide())])
    assert written_study().forward.kind == "python"
    ran("new-study", "drawn")
    assert load_file(Path("drawn.yaml")).studies["drawn"].forward.kind == "python"
