"""Tables in compressed, Parquet, NetCDF and zarr files, decimal commas, and units of columns."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from commands import new_study, written_study

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.population.stages.import_observations import import_observations
from popinv.sections.tables import read_frame
from popinv.sections.text_files import read_lines
from tests.observation_files.read_tables import read_file

PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
RANDOM = np.random.default_rng(0)
WIDE = pd.DataFrame(
    {
        "name": [f"s{i}" for i in range(12)],
        "p [mPa]": RANDOM.normal(size=12),
        "q [mPa]": RANDOM.normal(size=12),
        "load (kN)": RANDOM.normal(size=12),
    }
)
LONG = pd.DataFrame(
    [(s, t, 5 + RANDOM.normal(), 1.5 * s) for s in range(8) for t in (0.0, 0.5, 2.0)],
    columns=["subject", "time [h]", "conc (mg/L)", "dose [mg/kg]"],
)
pytestmark = pytest.mark.usefixtures("in_folder")


def stored(frame: pd.DataFrame, file: str) -> str:
    if file.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        frame.to_parquet(file, index=False)
    elif file.endswith(".nc"):
        xr.Dataset.from_dataframe(frame).drop_vars("index").to_netcdf(file)
    elif file.endswith(".zarr"):
        xr.Dataset.from_dataframe(frame).drop_vars("index").to_zarr(file, consolidated=False)
    else:
        content = frame.to_csv(index=False).encode()
        Path(file).write_bytes(PACKERS.get(file.rsplit(".", 1)[1], bytes)(content))
    return file


TABLES = ("y.csv", "y.csv.gz", "y.csv.bz2", "y.csv.xz", "y.parquet")


@pytest.mark.parametrize("file", TABLES)
def test_a_wide_table_is_the_same_in_every_format(file: str) -> None:
    table = read_file(
        stored(WIDE, file), system_column="name", noise_scale_column=None, ignored_columns=["load"]
    )
    np.testing.assert_array_equal(table.values, WIDE[["p [mPa]", "q [mPa]"]])
    assert table.system_ids.tolist() == WIDE["name"].tolist()
    assert table.names == ["p [mPa]", "q [mPa]"]


# A variable of NetCDF has no square brackets, nor a slash in its name.
PLAIN = LONG.set_axis(["subject", "time", "conc", "dose"], axis=1)


@pytest.mark.parametrize("file", [*TABLES, "y.nc", "y.zarr"])
def test_a_long_table_is_the_same_in_every_format(file: str) -> None:
    stored(PLAIN, file)
    at = Observations(np.array([[0.0], [0.5], [2.0]]), ("t",), "conc")
    section = FileObservations(
        file=file,
        layout="long",
        system_column="subject",
        time_column="time",
        value_column="conc",
    )
    table = read_fitting(section, at, design=("dose",))
    np.testing.assert_array_equal(table.values.ravel(), PLAIN["conc"])
    np.testing.assert_array_equal(table.known.design[:, 0], PLAIN["dose"][::3])


@pytest.mark.parametrize("file", [*TABLES, "y.nc", "y.zarr"])
def test_new_study_reads_every_format(file: str) -> None:
    frame = PLAIN if file in ("y.nc", "y.zarr") else LONG
    stored(frame, file)
    assert "8 systems with 3 observations each, at 3 different times" in new_study(file=file)
    study = written_study()
    observed = study.forward.observed(1)
    assert observed.name == "conc"
    if frame is LONG:
        assert (observed.units, observed.coordinate_units) == ("mg/L", "h")
    dataset = import_observations(study.forward, study.law, study.observations, seed=1)
    assert np.sort(dataset["y"].values, axis=None).tolist() == sorted(LONG["conc (mg/L)"])
    assert dataset["y"].attrs["units"] == observed.units


def test_columns_are_named_with_or_without_their_unit() -> None:
    stored(LONG, "y.csv")
    at = Observations(np.array([[0.0], [0.5], [2.0]]), ("t",), "conc")
    for time, value in (("time", "conc"), ("time [h]", "conc (mg/L)")):
        section = FileObservations(
            file="y.csv",
            layout="long",
            system_column="subject",
            time_column=time,
            value_column=value,
        )
        table = read_fitting(section, at, design=("dose",), covariates=("dose",))
        np.testing.assert_array_equal(table.values.ravel(), LONG["conc (mg/L)"])
        assert table.known.centres == pytest.approx([LONG["dose [mg/kg]"].mean()])


def test_the_unit_of_all_columns_of_a_wide_table() -> None:
    stored(WIDE.drop(columns="load (kN)"), "y.csv")
    new_study("--forward", "python")
    assert written_study().forward.observed(1).units == "mPa"


def test_cells_of_parquet_keep_their_meaning() -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "id": ["a, b", None],
            "day": [datetime(2024, 3, 1, 12), datetime(2024, 3, 2)],
            "x": [0.1, np.nan],
            "n": [1, 2],
        }
    )
    frame.to_parquet("y.parquet")
    read = read_frame(Path("y.parquet"))
    assert read.to_numpy().tolist() == [
        ["a, b", "2024-03-01T12:00:00", "0.1", "1"],
        ["", "2024-03-02T00:00:00", "", "2"],
    ]
    Path("broken.parquet").write_text("no")
    with pytest.raises(DataError, match=r"broken.parquet: cannot be read"):
        read_file("broken.parquet")


def test_a_changed_page_of_parquet_is_refused() -> None:
    """Each byte of the values is changed in turn; the writer has stored checksums."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    keys = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    values = [1.25, 2.5, 3.75, 5.0]
    parquet.write_table(pyarrow.table({"a": values, "b": values[::-1]}), "y.parquet", **keys)
    whole = Path("y.parquet").read_bytes()
    place = whole.index(np.array(values).tobytes())
    for i in range(place, place + 32, 5):
        Path("y.parquet").write_bytes(whole[:i] + bytes([whole[i] ^ 16]) + whole[i + 1 :])
        with pytest.raises(DataError, match=r"y.parquet: cannot be read"):
            read_file("y.parquet")


def test_without_pyarrow_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("y.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"python -m pip install 'popinv\[parquet\]'"):
        read_file("y.parquet")


def test_a_file_that_is_not_compressed_is_refused() -> None:
    Path("y.csv.gz").write_text("1,2\n")
    with pytest.raises(DataError, match=r"y.csv.gz: cannot be read"):
        read_file("y.csv.gz")


# --- decimal commas -----------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [";", "\t"])
def test_decimal_commas_beside_semicolons_or_tabs(mark: str) -> None:
    rows = ["id;p;q", 'a;1,5;"-0,25"', "b;2;1,0e-3", "c;;3,75"]
    Path("y.csv").write_text("\ufeff" + "\n".join(rows).replace(";", mark), encoding="utf-8")
    table = read_file("y.csv", system_column="id", missing="mask")
    np.testing.assert_array_equal(table.values, [[1.5, -0.25], [2.0, 1e-3], [np.nan, 3.75]])


def test_limits_have_decimal_commas_too() -> None:
    Path("y.csv").write_text("id;p\na;<0,15\nb;0,4\nc;≥ 7,5\n")
    assert read_lines(Path("y.csv"))[1:4] == ["a;<0.15", "b;0.4", "c;≥ 7.5"]
    Path("y.csv").write_text("id;p\na;<0,15\nb;0,25\n")
    assert read_lines(Path("y.csv"))[1:3] == ["a;<0.15", "b;0.25"]


def test_both_marks_are_not_guessed() -> None:
    Path("y.csv").write_text("p;q\n1,500;2.5\n2,500;3.5\n")
    with pytest.raises(DataError, match=r"Write 1500 if the comma .* and 1\.500 if"):
        read_file("y.csv")
    assert read_lines(Path("y.csv"))[1] == "1,500;2.5"
