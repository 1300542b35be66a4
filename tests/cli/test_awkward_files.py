"""`popinv new-study` on files as they come: what is read, and what the refusals say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import new_study, written_study

from popinv.population.stages.import_observations import import_observations

RANDOM = np.random.default_rng(5)
pytestmark = pytest.mark.usefixtures("in_folder")


def new(text: str | bytes, *options: str, said: int = 0) -> str:
    Path("y.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return new_study("--forward", "python", *options, code=said)


def imported() -> np.ndarray:
    study = written_study()
    dataset = import_observations(study.forward, study.law, study.observations, seed=1)
    order = np.argsort(dataset["system_id"].values)
    values: np.ndarray = dataset["y"].values[order]
    return values


def value(mean: float = 5.0) -> str:
    return f"{RANDOM.normal(mean, 1):.3f}"


def test_a_spreadsheet_with_decimal_commas() -> None:
    cells = [[f"P{i}", value(), value(7.0)[:-1]] for i in range(10, 30)]
    rows = [";".join(["Probe", "Druck 1 [kPa]", "Druck 2 [kPa]", "Datum"])]
    rows += [";".join([*row, "01.03.2024"]).replace(".", ",", 2) for row in cells]
    said = new(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    assert "20 systems with 2 observations each" in said
    np.testing.assert_array_equal(imported(), [[float(a), float(b)] for _, a, b in cells])
    assert written_study().forward.observed(1).units == "kPa"


@pytest.mark.parametrize("text", ["n.d.", "5.2*"])
def test_text_among_numbers_is_refused_with_its_place(text: str) -> None:
    rows = [f"s{i},{value()},{text if i in (3, 7) else value()}" for i in range(30)]
    message = new("\n".join(["sample,a,b", *rows]), said=1)
    assert f"the column 'b' holds numbers, but text in 2 of 30 rows ('{text}'" in message
    assert "first in row 4 below the names" in message
    assert not Path("mine.yaml").exists()


def test_categories_with_numbers_among_them_are_no_fault() -> None:
    rows = [f"s{i},{value()},{('1', '2', '3', 'none')[i % 4]}" for i in range(30)]
    assert "grade   not observed" in new("\n".join(["sample,a,grade", *rows]))


def test_a_long_table_in_which_a_system_has_no_name() -> None:
    rows = [f"{'' if (i, t) == (3, 2) else i},{t},{value()}" for i in range(8) for t in range(3)]
    message = new("\n".join(["id,time,conc", *rows]), said=1)
    assert "the column 'id' seems to name the systems of a long table" in message
    assert "first in row 12 below the names" in message


def test_a_title_above_the_names() -> None:
    rows = [f"b{i},{value()},{value()}," for i in range(20)]
    message = new("\n".join(["Experiment of 12 May,,,", ",,,", "beam,u,v,", *rows]), said=1)
    assert "as a title does" in message
    assert "delete the lines above them" in message


def test_thousands_separators_and_percent_signs() -> None:
    rows = [f'u{i},"{1000 + 7 * i:,}",{value()}%' for i in range(20)]
    message = new("\n".join(["unit,x,y", *rows]), said=1)
    assert "the column 'x' holds numbers with other signs in 20 of 20 rows ('1,000'" in message
    assert "Write 1000 if the comma separates thousands, and 1.000 if it is a decimal" in message
    assert "state --system" in message


@pytest.mark.parametrize("date", ["{m}/15/2024", "15.{m}.2024", "{m}-15-24 10:30"])
def test_dates_in_other_forms(date: str) -> None:
    rows = [f"S{s},{date.format(m=m)},{value()}" for s in range(9) for m in range(1, 7)]
    message = new("\n".join(["site,date,flow", *rows]), said=1)
    assert f"The column 'date' holds dates such as '{date.format(m=1)}'" in message
    assert "only the form 2024-03-01 is read as dates" in message


def test_ids_that_repeat_are_never_more_systems() -> None:
    rows = [f"{100 + i // 2},{40 + i // 2},{value()},{value(20.0)}" for i in range(40)]
    text = "\n".join(["patient_id,age,crp,esr", *rows])
    assert "State --layout: long, wide, replicates." in new(text, said=1)
    said = new(text, "--layout", "replicates")
    assert "20 systems with 2 observations each" in said
    assert "2 replicates of each system" in said
    # One value in each system: not observed.
    assert "age         not observed" in said
    assert imported().shape == (20, 4)
