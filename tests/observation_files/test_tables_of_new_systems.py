"""Tables of systems that come after a study: what would be misread is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.new_systems import TableForm, new_table
from popinv.observation_files.section import FileObservations
from popinv.sections.tables import text_frame

AT = Observations(np.array([[0.0], [1.0]]), ("t",), "y")
LONG = FileObservations(
    file="y.csv", layout="long", system_column="boy", time_column="t", value_column="y"
)
ROWS = pd.DataFrame({"boy": ["a", "a", "b"], "t": [0.0, 1.0, 0.0], "y": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize("lacks", ["boy", "t", "y"])
def test_a_long_table_needs_the_columns_of_the_study(lacks):
    form = TableForm(LONG, ["0", "1"], ["dose"])
    with pytest.raises(DataError, match=f"there is no column '{lacks}'"):
        new_table(form, text_frame(ROWS.assign(dose=1).rename(columns={lacks: "other"})))


def test_a_table_of_the_design_alone_has_a_row_for_each_system():
    form = TableForm(LONG, ["0", "1"], ["dose"])
    table = new_table(form, text_frame(pd.DataFrame({"dose": [1.0, 2.0]})))
    read = form.read(table, AT)
    assert read.values.shape == (2, 2)
    assert np.isnan(read.values).all()


def test_dates_of_further_systems_have_no_origin():
    dates = ROWS.assign(t=["2024-05-01", "2024-05-02", "2024-05-01"])
    with pytest.raises(DataError, match="not from that of the study"):
        read_fitting(LONG, AT, given=text_frame(dates), whole=False, population=False)


def test_a_system_that_joins_has_an_observation():
    wide = FileObservations(file="y.csv", missing="mask")
    frame = text_frame(pd.DataFrame({"0": [1.0, np.nan], "1": [2.0, np.nan]}))
    with pytest.raises(DataError, match=r"no observation|all values|missing"):
        read_fitting(wide, AT, given=frame, whole=False, population=False)
    assert len(read_fitting(wide, AT, given=frame[:1], whole=False, population=False).values) == 1
