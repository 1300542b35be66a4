"""Replicates in long, wide and gridded files; what is refused; and `new-study` on such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import new_study, written_study

from popinv.config.loading import load_file
from popinv.errors import ConfigError, DataError
from popinv.forward.base import Observations
from popinv.forward.datasets import replicates_of
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable
from popinv.population.stages.import_observations import import_observations

NAN = np.nan
AT = Observations(np.array([[0.0], [1.0]]), ("t",), "y")
LONG = """\
id,day,time,y,dose
a,1,0,1.0,5
a,1,1,2.0,5
a,2,0,3.0,5
b,1,0,4.0,7
b,1,1,5.0,7
c,9,1,6.0,8
c,3,0,7.0,8
c,3,1,8.0,8
d,1,0,9.0,9
d,1,1,9.5,9
"""
VALUES = [
    [1.0, 2.0, 3.0, NAN],
    [4.0, 5.0, NAN, NAN],
    [NAN, 6.0, 7.0, 8.0],
    [9.0, 9.5, NAN, NAN],
]
WIDE = """\
id,day,p,q,dose
a,1,1.0,2.0,5
b,1,4.0,5.0,7
a,2,3.0,2.5,5
c,1,7.0,8.0,8
d,1,9.0,9.5,9
"""
OF_LONG = {"layout": "long", "system_column": "id", "value_column": "y", "time_column": "time"}
pytestmark = pytest.mark.usefixtures("in_folder")


def read(text: str, design: tuple[str, ...] = (), **keys: object) -> ObservationTable:
    Path("y.csv").write_text(text)
    return read_fitting(FileObservations(file="y.csv", **keys), AT, design)


def fault(text: str, design: tuple[str, ...] = (), **keys: object) -> str:
    with pytest.raises(DataError) as caught:
        read(text, design, **keys)
    return str(caught.value)


def test_a_long_table_with_a_column_of_replicates() -> None:
    table = read(LONG, ("dose",), replicate_column="day", **OF_LONG)
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.replicate_count == 2
    assert table.known.design.tolist() == [[5], [7], [8], [9]]
    np.testing.assert_array_equal(
        table.pooled().values, [[1, 2], [3, NAN], [4, 5], [NAN, 6], [7, 8], [9, 9.5]]
    )


def test_values_of_one_time_are_replicates_in_their_order() -> None:
    table = read(LONG, replicates="rows", **OF_LONG)
    np.testing.assert_array_equal(table.values[0], [1, 2, 3, NAN])
    # The first value of a time is of the first replicate.
    np.testing.assert_array_equal(table.values[2], [7, 6, NAN, 8])


def test_a_wide_table_in_which_systems_repeat() -> None:
    table = read(WIDE, ("dose",), system_column="id", replicate_column="day")
    np.testing.assert_array_equal(table.values[:2], [[1, 2, 3, 2.5], [4, 5, NAN, NAN]])
    assert table.system_ids.tolist() == ["a", "b", "c", "d"]
    assert table.known.design.tolist() == [[5], [7], [8], [9]]
    more = read(WIDE + "a,3,3.5,2.75,5\n", ("dose",), system_column="id", replicate_column="day")
    np.testing.assert_array_equal(more.values[0], [1, 2, 3, 2.5, 3.5, 2.75])
    rows = read(WIDE, system_column="id", replicates="rows", ignored_columns=["day", "dose"])
    np.testing.assert_array_equal(rows.values, table.values)


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (LONG, OF_LONG, "line 4: system 'a' has a second value at t = 0; each system is observed"),
        (LONG, OF_LONG, "observations.replicate_column"),
        (
            WIDE,
            {"system_column": "id", "ignored_columns": ["day", "dose"]},
            "line 2 and line 4 both belong to system 'a', but each system has one row",
        ),
        (
            WIDE.replace("a,2", "a,1"),
            {"system_column": "id", "replicate_column": "day", "ignored_columns": ["dose"]},
            "line 4: system 'a' has the replicate '1' a second time",
        ),
        (
            LONG.replace("a,2,0", "a,1,0"),
            {**OF_LONG, "replicate_column": "day"},
            "line 4: system 'a' has a second value at t = 0 of the replicate '1'",
        ),
        (LONG.replace("a,2,", "a,,"), {**OF_LONG, "replicate_column": "day"}, "no replicate in"),
        (
            WIDE,
            {"replicates": "rows", "ignored_columns": ["id", "day", "dose"]},
            "the rows have no names of systems",
        ),
    ],
)
def test_what_is_refused(text: str, keys: dict, words: str) -> None:
    assert words in fault(text, **keys)


def test_a_design_that_differs_between_replicates_is_refused() -> None:
    message = fault(
        WIDE.replace("2.5,5", "2.5,6"), ("dose",), system_column="id", replicate_column="day"
    )
    assert "the column 'dose' of system 'a' holds '5' and '6'" in message
    assert "in all its replicates" in message


def test_noise_scales_that_differ_between_replicates_are_refused() -> None:
    keys = {"system_column": "id", "replicate_column": "day", "noise_scale_column": "dose"}
    assert read(WIDE, **keys).noise_scale.tolist() == [5, 7, 8, 9]
    message = fault(WIDE.replace("2.5,5", "2.5,6"), **keys)
    assert "line 4: system 'a' has the noise scales 5 and 6" in message


def test_a_dimension_of_replicates() -> None:
    y = np.random.default_rng(0).normal(size=(5, 3, 2))
    array = xr.DataArray(y, dims=("system", "replicate", "time"))
    dataset = xr.Dataset({"observations": array.expand_dims(place=1)})
    for file in ("y.nc", "y.zarr"):
        if file.endswith("nc"):
            dataset.to_netcdf(file)
        else:
            dataset.to_zarr(file, zarr_format=3)
        table = read_fitting(FileObservations(file=file, replicates="rows"), AT)
        np.testing.assert_array_equal(table.values, y.reshape(5, 6))
        assert table.replicate_count == 3
        with pytest.raises(DataError, match=r"set 'observations\.replicates: rows'"):
            read_fitting(FileObservations(file=file), AT)


def test_a_column_of_replicates_needs_one_of_systems() -> None:
    with pytest.raises(ValueError, match="'system_column' must name the systems"):
        FileObservations(file="y.csv", replicate_column="day")


# --- new-study ----------------------------------------------------------------------------------


def new(text: str, *options: str, code: int = 0) -> str:
    Path("y.csv").write_text(text)
    return new_study("--forward", "python", *options, code=code)


RAILS = "rail,run,travel\n" + "".join(
    f"{rail},{run},{50 + 7 * rail + run * (run - 2):.1f}\n" for rail in range(6) for run in range(3)
)


def imported(said: str, systems: int, replicates: int) -> None:
    assert f"{systems} systems" in said
    study = written_study()
    dataset = import_observations(study.forward, study.law, study.observations, seed=1)
    assert len(dataset["y"]) == systems
    assert replicates_of(dataset) == replicates


def test_a_column_that_may_count_replicates_is_asked_about() -> None:
    message = new(RAILS, code=1)
    assert "The column 'run' tells the rows of each 'rail' apart." in message
    assert "State --replicate: run, none." in message
    said = new(RAILS, "--replicate", "run")
    assert "3 replicates of each system, with the same parameters" in said
    imported(said, 6, 3)


def test_a_column_called_replicate_holds_them() -> None:
    imported(new(RAILS.replace("run", "replicate")), 6, 3)


def test_the_same_system_in_several_rows_is_asked_about() -> None:
    lines = [line.split(",") for line in RAILS.splitlines()]
    text = "".join(f"{rail},{travel}\n" for rail, _, travel in lines)
    message = new(text, code=1)
    assert "The column 'rail' repeats" in message
    assert "State --layout: long, wide, replicates." in message
    imported(new(text, "--layout", "replicates"), 6, 3)


def test_two_rows_of_a_named_system_are_asked_about() -> None:
    rows = [f"s{i},{i * i + 0.5},{7 - i / 3:.3f}" for i in range(12)]
    text = "\n".join(["patient,p,q", *rows, "s3,9.6,6.1"])
    assert "The column 'patient' repeats" in new(text, code=1)
    assert "names 12 systems in 13 rows" in new(
        text, "--layout", "wide", "--system", "patient", code=1
    )
    said = new(text, "--replicate", "rows")
    assert "1 to 2 replicates of each system" in said
    imported(said, 12, 2)


def test_a_long_table_with_replicates() -> None:
    rows = [
        f"{s},{day},{t},{s + t + day / 10:.2f}"
        for s in range(6)
        for day in (1, 2)
        for t in (0, 1, 3)
    ]
    text = "\n".join(["subject,day_no,time,conc", *rows])
    imported(new(text, "--replicate", "day_no", "--system", "subject"), 6, 2)
    Path("mine.yaml").unlink()
    Path("mine/simulator.py").unlink()
    assert "--replicate rows" in new(text, "--time", "time", "--system", "subject", code=1)
    imported(new(text, "--time", "time", "--system", "subject", "--replicate", "rows"), 6, 2)


# --- the rest of a study ------------------------------------------------------------------------

STUDY = """\
studies:
  mine:
    forward: {kind: porous_flow}
    noise: {kind: %s}
    observations:
      replicates: 3
      truth: {law: {length: 0.5, amplitude: 0.5}, noise: {}}
    %s
"""


def test_the_use_of_a_paper_takes_no_replicates() -> None:
    Path("mine.yaml").write_text(STUDY % ("isotropic", "downstream: {mwgrad: {}}"))
    with pytest.raises(ConfigError, match="not for systems with replicates: it reproduces"):
        load_file(Path("mine.yaml"))


def test_replicates_that_look_the_same_are_not_two() -> None:
    wide = fault(WIDE.replace("b,1,", "b,1\u200b,"), system_column="id", replicate_column="day")
    long = fault(LONG.replace("b,1,1", "b,1\u200b,1"), replicate_column="day", **OF_LONG)
    for message, lines in ((wide, "line 2 and line 3"), (long, "line 2 and line 6")):
        assert f"{lines} name the replicates '1' and '1\\u200b', which look the same" in message
