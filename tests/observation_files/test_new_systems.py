"""Tables of new systems: any subset of columns, with names, numbers or neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.new_systems import (
    TableForm,
    chosen_entries,
    new_table,
)
from popinv.observation_files.section import FileObservations
from popinv.observation_files.trees import LevelColumns
from popinv.sections.tables import joint_times, text_frame

THREE = Observations(np.arange(3.0)[:, None], ("entry",), "y", "m")
TIMES = Observations(np.array([[0.0], [1.0], [2.0]]), ("t",), "y", "m")


def form(names: tuple[str, ...] = ("1", "2", "3"), **keys: Any) -> TableForm:
    known = {
        key: keys.pop(key) for key in ("design", "covariates", "centres", "units") if key in keys
    }
    return TableForm(FileObservations(file="old.csv", **keys), names, **known)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5,1.5,2.5\n0.1,,0.3\n", [[0.5, 1.5, 2.5], [0.1, np.nan, 0.3]]),
        ("3,1\n0.5,1.5\n", [[1.5, np.nan, 0.5]]),
        ("system,2\nx,4\n", [[np.nan, 4, np.nan]]),
    ],
)
def test_sensors_without_names_are_numbers(in_folder, text, values):
    (in_folder / "new.csv").write_text(text)
    own = form()
    table = own.read(new_table(own, "new.csv"), THREE)
    np.testing.assert_array_equal(table.values, values)


def test_names_are_found_with_and_without_their_unit(in_folder):
    own = form(("left [m]", "mid [m]", "right [m]"), system_column="id")
    (in_folder / "new.csv").write_text("id,right,left [m]\nx,1,2\ny,,3\n")
    table = own.read(new_table(own, "new.csv"), THREE)
    np.testing.assert_array_equal(table.values, [[2, np.nan, 1], [3, np.nan, np.nan]])
    assert list(table.system_ids) == ["x", "y"]


def test_covariates_count_from_the_centre_of_the_study():
    own = form(("a", "b", "c"), covariates=("w", "sex_m"), centres=(2.0, 0.0), design=("dose",))
    frame = text_frame(pd.DataFrame({"w": [5.0], "sex": ["f"], "dose": [7.0], "a": [1.0]}))
    table = own.read(new_table(own, frame), THREE)
    np.testing.assert_array_equal(table.known.covariates, [[3.0, 0.0]])
    np.testing.assert_array_equal(table.known.design, [[7.0]])


def test_groups_of_a_wide_table_have_their_columns():
    levels = LevelColumns(("site", "plot"))
    own = TableForm(FileObservations(file="old.csv"), ("a", "b", "c"), levels=levels)
    frame = pd.DataFrame({"site": ["s", "s"], "plot": ["1", "2"], "b": [1.0, 2.0]})
    table = own.read(new_table(own, text_frame(frame)), THREE)
    np.testing.assert_array_equal(table.values, [[np.nan, 1, np.nan, np.nan, 2, np.nan]])


def long(**keys: Any) -> TableForm:
    columns = {"system_column": "id", "time_column": "t", "value_column": "y"}
    return form(("t = 0", "t = 1", "t = 2"), layout="long", **columns, **keys)


def test_a_long_table_may_have_a_design_alone():
    own = long(design=("dose",))
    table = own.read(new_table(own, text_frame(pd.DataFrame({"dose": [1.0, 2.0]}))), TIMES)
    assert np.isnan(table.values).all()
    assert table.values.shape == (2, 3)
    assert list(table.system_ids) == ["1", "2"]


def test_times_of_a_long_table_are_those_of_its_values():
    own = long()
    frame = pd.DataFrame({"id": ["a", "a", "b"], "t": [0.5, 2.0, 9.0], "y": [1.0, 2.0, None]})
    table = new_table(own, text_frame(frame))
    assert table.times == [0.5, 2.0]
    assert joint_times([0.0, 1.0, 2.0], table.times) == [0.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("own", "columns", "words"),
    [
        (
            form(("a", "b", "c")),
            {"d": [1.0]},
            "'d' is no sensor of the study.* sensors are a, b, c",
        ),
        (
            form(("a [m]", "b", "c"), units={"a": "m"}),
            {"a [km]": [1.0]},
            "'a' is in 'km', but in the study it is in 'm'. Convert its values to m",
        ),
        (
            form(("a", "b", "c"), design=("dose",), units={"dose": "mg"}),
            {"a": [1.0], "dose (ug)": [1.0]},
            "'dose' is in 'ug', but in the study it is in 'mg'",
        ),
        (form(("a", "b", "c")), {"a": [1.0], "a [m]": [2.0]}, "are the same sensor"),
        (form(("a", "b", "c"), design=("dose",)), {"a": [1.0]}, "no column 'dose'"),
        (long(), {"id": ["x"], "y": [1.0]}, "no column 't', which the study's own table has"),
    ],
)
def test_columns_that_do_not_fit_are_refused(own, columns, words):
    with pytest.raises(DataError, match=words):
        new_table(own, text_frame(pd.DataFrame(columns)))


def test_entries_are_chosen_by_name_and_by_time():
    assert chosen_entries(["b", "a"], ["a", "b", "c"], THREE).tolist() == [0, 1]
    assert chosen_entries([2.0, "0"], ["x", "y", "z"], TIMES).tolist() == [0, 2]
    with pytest.raises(DataError, match=r"at: got 5\.0, which is no time of the study; it has"):
        chosen_entries([5.0], ["x", "y", "z"], TIMES)


def test_messages_name_the_file(in_folder):
    own = form(("a", "b", "c"))
    (in_folder / "new.csv").write_text("a,b\n1,x\n")
    with pytest.raises(DataError, match=r"^new\.csv: line 2, column 'b' is 'x'"):
        own.read(new_table(own, "new.csv"), THREE)
