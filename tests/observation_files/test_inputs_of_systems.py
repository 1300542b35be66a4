"""Observations and inputs over time that belong together, and such that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_sections import long_table

from popinv.errors import DataError
from popinv.forward.inputs.section import Inputs
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from tests.observation_files.read_tables import observed_at

pytestmark = pytest.mark.usefixtures("in_folder")

TIMES = np.array([1.0, 2.0, 4.0])
AT = observed_at(TIMES)
SYSTEMS = ["a", "b", "c", "d", "e"]
LONG = long_table("y.csv", "ID", "DV", "TIME")


def observations() -> pd.DataFrame:
    rows = [(s, t, 10 * i + t) for i, s in enumerate(SYSTEMS) for t in TIMES]
    return pd.DataFrame(rows, columns=["ID", "TIME", "DV"])


def doses() -> pd.DataFrame:
    rows = [(s, 0.0, 1.0 + i) for i, s in enumerate(SYSTEMS)] + [("b", 3.0, 7.0)]
    return pd.DataFrame(rows, columns=["ID", "TIME", "AMT"])


def read(observed: pd.DataFrame, given: pd.DataFrame | None, *, whole: bool = True, **keys):
    observed.to_csv("y.csv", index=False)
    if given is not None:
        given.to_csv("doses.csv", index=False)
    inputs = Inputs(
        file="y.csv" if given is None else "doses.csv",
        system_column="ID",
        time_column="TIME",
        amount_column="AMT",
        columns=["amount"],
        count=2,
    )
    section = FileObservations.model_validate({**LONG, **keys})
    names = inputs.shape().names()
    return read_fitting(section, AT, names, whole=whole, inputs=inputs)


def expected() -> np.ndarray:
    rows = [[1, 0, 0, 1.0 + i, 0] for i in range(5)]
    rows[1] = [2, 0, 3, 2, 7]
    return np.array(rows)


def test_doses_of_another_file_are_the_last_columns_of_the_design():
    table = read(observations(), doses())
    np.testing.assert_array_equal(table.known.design, expected())


@pytest.mark.parametrize("marked", [False, True])
def test_doses_and_observations_stand_in_one_table(marked: bool):
    both = pd.concat([doses(), observations()]).sort_values(["ID", "TIME"])
    if marked:
        # As NONMEM writes them: a dose has the value 0, and an observation the amount 0.
        both["EVID"] = (both["AMT"] > 0).astype(int)
        both = both.fillna(0)
    table = read(both, None)
    np.testing.assert_array_equal(table.known.design, expected())
    np.testing.assert_array_equal(table.values, read(observations(), doses()).values)


def test_a_wide_table_has_inputs_of_another_file():
    wide = pd.DataFrame({"ID": SYSTEMS, **{f"t{t:g}": 10.0 + t + np.arange(5) for t in TIMES}})
    keys = dict.fromkeys(("time_column", "value_column")) | {"layout": "wide"}
    np.testing.assert_array_equal(read(wide, doses(), **keys).known.design, expected())


def test_inputs_of_an_unknown_system_are_refused():
    given = doses()
    given.loc[4, "ID"] = "E"
    with pytest.raises(DataError, match=r"doses.csv: it has inputs of the system 'E', but no such"):
        read(observations(), given)


def test_a_system_without_inputs_is_refused():
    with pytest.raises(DataError, match=r"the system 'e' was observed, but it has no inputs"):
        read(observations(), doses().drop(index=4))
    # Part of the systems has inputs in a table of all.
    few = observations()[lambda each: each["ID"] != "e"]
    assert len(read(few, doses(), whole=False).values) == 4


def test_a_dose_after_the_last_observation_is_refused():
    given = doses()
    given.loc[5, "TIME"] = 4.5
    message = (
        r"doses.csv: line 3 to 7: system 'b' has a dose at 4.5, after its last observation at 4, "
        r"which changes nothing"
    )
    with pytest.raises(DataError, match=message):
        read(observations(), given)
    # What was observed of new systems so far may end before their doses do.
    read(observations(), given, whole=False)


def test_more_events_than_there_is_room_for_are_refused():
    given = pd.concat([doses(), pd.DataFrame({"ID": ["b"], "TIME": [3.5], "AMT": [1.0]})])
    with pytest.raises(DataError, match=r"'b' has 3 events.*set 'forward.inputs.count: 3'"):
        read(observations(), given)


def test_the_file_is_named(tmp_path: Path):
    given = doses()
    given.loc[2, "AMT"] = -1
    with pytest.raises(DataError, match=r"doses.csv: line 4: the column 'AMT' holds -1"):
        read(observations(), given)
