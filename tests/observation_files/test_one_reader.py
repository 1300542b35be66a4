"""A file and a table in memory are read alike, and messages say where each of them is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable
from popinv.sections import tables
from popinv.sections.tables import read_text, text_frame

TWO = Observations(np.arange(2.0)[:, None], ("t",), "y")
WIDE = pd.DataFrame(
    {
        "id": ["007", "b", "b", "c", "d"],
        "p": [1.5, 2.0, np.nan, 4.25, 1e-7],
        "q": [1.0, -2.0, 3.0, 0.1, 5.0],
        "dose": [1.0, 2.0, 2.0, 3.0, 4.0],
        "sex": ["f", "m", "m", "f", "m"],
        "scale": [1.0, 0.5, 0.5, 2.0, 1.0],
    }
)
LONG = pd.DataFrame(
    [(s, t, s + 10.0 * t, 0.5 * s) for s in range(5) for t in (0, 1)],
    columns=["id", "t", "y", "dose"],
)
KEYS = {
    "wide": {
        "system_column": "id",
        "noise_scale_column": "scale",
        "replicates": "rows",
        "missing": "mask",
    },
    "long": {
        "layout": "long",
        "system_column": "id",
        "time_column": "t",
        "value_column": "y",
    },
}
KNOWN = {"wide": (["dose"], ["sex_m"]), "long": (["dose"], [])}
pytestmark = pytest.mark.usefixtures("in_folder")


def both(frame: pd.DataFrame, form: str) -> tuple[ObservationTable, ObservationTable]:
    """Return what is read of a file, and of the same table in memory."""
    frame.to_csv("y.csv", index=False)
    section = FileObservations.model_validate({"file": "y.csv", **KEYS[form]})
    of_file = read_fitting(section, TWO, *KNOWN[form])
    return of_file, read_fitting(section, TWO, *KNOWN[form], given=text_frame(frame))


def faults(frame: pd.DataFrame, form: str) -> list[str]:
    frame.to_csv("y.csv", index=False)
    section = FileObservations.model_validate({"file": "y.csv", **KEYS[form]})
    messages = []
    for given in (None, text_frame(frame)):
        with pytest.raises(DataError) as caught:
            read_fitting(section, TWO, *KNOWN[form], given=given)
        messages.append(str(caught.value))
    return messages


@pytest.mark.parametrize(("frame", "form"), [(WIDE, "wide"), (LONG, "long")])
def test_a_file_and_a_table_in_memory_give_the_same_observations(
    frame: pd.DataFrame, form: str
) -> None:
    of_file, in_memory = both(frame, form)
    for name in ("values", "noise_scale", "system_ids"):
        np.testing.assert_array_equal(getattr(of_file, name), getattr(in_memory, name))
    assert of_file.known is not None
    assert in_memory.known is not None
    for name in ("design", "covariates", "centres"):
        held = getattr(of_file.known, name), getattr(in_memory.known, name)
        np.testing.assert_array_equal(*held)
    assert of_file.names == in_memory.names
    assert of_file.replicate_count == in_memory.replicate_count == (2 if form == "wide" else 1)


@pytest.mark.parametrize(
    ("form", "column", "row", "cell", "of_file", "in_memory"),
    [
        ("wide", "q", 3, "<2", "line 5, column 3 is '<2'", "row 3, column 'q' is '<2'"),
        ("wide", "q", 3, "inf", "line 5, column 3 (q) is infinite", "row 3, column 'q' is inf"),
        ("wide", "dose", 2, 9.0, "line 4: the column 'dose'", "row 2: the column 'dose'"),
        ("wide", "sex", 0, "", "line 2: the column 'sex' holds no", "row 0: the column 'sex' hol"),
        ("wide", "scale", 4, 0.0, "line 6: the noise scale is 0", "row 4: the noise scale is 0"),
        ("long", "y", 6, "x", "line 8: the column 'y' holds 'x'", "row 6: the column 'y' holds"),
        ("long", "t", 2, "", "line 4 has a value, but no time", "row 2 has a value, but no time"),
        ("long", "t", 1, 0.0, "line 3: system '0' has a second", "row 1: system '0' has a second"),
        ("long", "id", 9, "", "line 11: the system has no name", "row 9: the system has no name"),
    ],
)
def test_messages_name_lines_of_files_and_rows_of_tables(
    form: str, column: str, row: int, cell: object, of_file: str, in_memory: str
) -> None:
    frame = (WIDE if form == "wide" else LONG).astype(object)
    frame.loc[row, column] = cell
    found = faults(frame, form)
    assert found[0].startswith(f"y.csv: {of_file}")
    assert found[1].startswith(f"data: {in_memory}")


def test_a_dataset_in_memory_is_counted_from_zero_and_a_file_from_one() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2))
    values[3, 1] = np.inf
    dataset = xr.Dataset({"observations": (("system", "sensor"), values)})
    dataset.to_netcdf("y.nc", engine="scipy")
    section = FileObservations(file="y.nc")
    with pytest.raises(DataError, match=r"row 4, column 2 of 'observations' is infinite"):
        read_fitting(section, TWO)
    with pytest.raises(DataError, match=r"row 3, column 1 is infinite"):
        read_fitting(section, TWO, given=dataset)


def test_columns_of_numbers_and_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("y.csv").write_text("id,a,b\n007,1.50,NA\n\n008,,-2e3\n009,3,nan\n010,_1,4\n")
    text = read_text(Path("y.csv"))
    whole = text.frame()
    assert whole.loc[2].tolist() == ["007", "1.50", "NA"]
    assert whole.index.tolist() == [2, 4, 5, 6]
    # Rows are read some at a time, and each of them keeps its place.
    monkeypatch.setattr(tables, "_BLOCK", 2)
    with pytest.raises(DataError, match=r"^line 6, column 2 is '_1', not a number"):
        text.frame(text={0})
    frame = text.frame(text={0, 1})
    assert frame["id"].tolist() == ["007", "008", "009", "010"]
    assert frame["a"].tolist() == ["1.50", "", "3", "_1"]
    np.testing.assert_array_equal(frame["b"], [np.nan, -2000, np.nan, 4])
    assert frame["b"].dtype == float
    Path("y.csv").write_text("id,a\nx,1\n")
    text = read_text(Path("y.csv"))
    with pytest.raises(DataError, match=r"^line 2, column 1 is 'x', not a number.* Name it$"):
        text.frame(text=(), hint=" Name it")


def test_a_table_of_more_rows_than_are_text_at_a_time() -> None:
    count = tables._BLOCK + 5
    values = np.random.default_rng(0).normal(size=(count, 2))
    frame = pd.DataFrame(values, columns=["p", "q"])
    frame.insert(0, "id", [f"s{i}" for i in range(count)])
    frame.to_csv("y.csv", index=False)
    table = read_fitting(FileObservations(file="y.csv", system_column="id"), TWO)
    np.testing.assert_array_equal(table.values, values)
    assert table.rows[-1] == f"line {count + 1}"
