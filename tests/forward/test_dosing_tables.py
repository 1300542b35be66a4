"""Tables of inputs over time: expansion of doses, padded arrays, and tables that are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from popinv.errors import DataError
from popinv.forward.inputs.dosing import rows_without_observation
from popinv.forward.inputs.section import Inputs, written_out
from popinv.forward.inputs.shape import InputsShape, of_system
from popinv.forward.inputs.summary import InputsSummary
from popinv.sections.tables import text_frame

KEYS = {"file": "doses.csv", "system_column": "ID", "time_column": "TIME"}


def section(frame: pd.DataFrame, **keys) -> Inputs:
    keys = {**KEYS, "amount_column": "AMT", **keys}
    return written_out(Inputs.model_construct(**keys).with_table(text_frame(frame)))


def events(frame: pd.DataFrame, **keys) -> dict[str, list[list[float]]]:
    made = section(frame, **keys)
    return {name: each.tolist() for name, each in made.events(made.table()).items()}


def doses(**columns) -> pd.DataFrame:
    count = max(len(each) for each in columns.values())
    held = {"ID": ["a"] * count, "TIME": np.arange(float(count)), "AMT": [1.0] * count}
    return pd.DataFrame(held | columns)


def test_further_doses_follow_at_their_intervals_in_the_order_of_time():
    frame = doses(ID=["a", "a", "b"], TIME=[0, 5, 1], AMT=[10, 7, 3], ADDL=[2, 0, 0], II=[4, 0, 0])
    assert events(frame) == {"a": [[0, 10], [4, 10], [5, 7], [8, 10]], "b": [[1, 3]]}
    assert section(frame).count == 4


def test_a_rate_becomes_a_duration_and_compartments_are_kept():
    frame = doses(AMT=[10, 6], RATE=[5, 0], CMT=[2, 1])
    assert section(frame).columns == ["amount", "duration", "compartment"]
    assert events(frame) == {"a": [[0, 10, 2, 2], [1, 6, 0, 1]]}


def test_names_are_read_in_any_case_and_points_are_missing():
    frame = doses(AMT=["3", ".", "."], evid=[1, 0, 2], addl=["1", ".", "."], ii=["24", ".", "."])
    assert events(frame) == {"a": [[0, 3], [24, 3]]}


def test_a_series_has_its_own_columns():
    frame = pd.DataFrame({"ID": ["a", "a", "b"], "TIME": [0, 1, 0], "rain (mm)": [3, 0, 5]})
    made = section(frame, amount_column=None, columns=["rain"])
    assert {n: e.tolist() for n, e in made.events(made.table()).items()} == {
        "a": [[0, 3], [1, 0]],
        "b": [[0, 5]],
    }


def test_padding_repeats_the_last_row_of_a_series_and_gives_no_dose():
    shape = InputsShape(("time", "rain"), 3)
    two = np.array([[1.0, 5.0], [2.0, 7.0]])
    assert shape.padded(two, zeros=False).tolist() == [2, 1, 2, 2, 5, 7, 7]
    assert shape.padded(two, zeros=True).tolist() == [2, 1, 2, 2, 5, 7, 0]
    assert shape.padded(np.empty((0, 2)), zeros=False).tolist() == [0] * 7
    assert len(shape.names()) == shape.width == 7


@pytest.mark.parametrize("of", [np.asarray, torch.as_tensor])
def test_a_simulator_gets_named_arrays_with_a_mask(of):
    shape = InputsShape(("time", "rain"), 3)
    rows = np.array([[2.0, 1, 2, 2, 5, 7, 7], [3.0, 1, 2, 4, 5, 7, 9]])
    found = shape.apart(of(rows))
    assert found["time"].tolist() == [[1, 2, 2], [1, 2, 4]]
    assert found["rain"].tolist() == [[5, 7, 7], [5, 7, 9]]
    assert found["present"].tolist() == [[True, True, False], [True, True, True]]
    assert of_system(found, 0)["rain"].tolist() == [5, 7]
    assert len(of_system(found, 1)["time"]) == 3


def test_a_summary_is_of_the_events_of_a_system_alone():
    shape = InputsShape(("time", "a", "b"), 3)
    rows = [shape.padded(np.array([[1.0, 5, 2], [2.0, 7, 4]]), zeros=False)]
    rows += [shape.padded(np.empty((0, 3)), zeros=False)]
    z = torch.cat([torch.tensor([[0.5], [0.25]]).double(), torch.tensor(np.array(rows))], dim=1)
    every = ["count", "last_time", "total", "mean"]
    summary = InputsSummary(shape, every)
    assert summary.of(z).tolist() == [[0.5, 2, 2, 12, 6, 6, 3], [0.25, 0, 0, 0, 0, 0, 0]]
    assert summary.width == 6
    assert InputsSummary.from_plain(summary.hyperparameters).of(z).equal(summary.of(z))
    assert InputsSummary(shape, ["values"]).of(z).equal(z)
    assert summary.along(torch.ones_like(z)).tolist() == [[1.0, *[0.0] * 6]] * 2


WRONG = {
    "row 1: the column 'AMT' holds -2, but an amount is not negative": {"AMT": [1, -2]},
    "row 1: .* asks for 3 further doses, but 'II', the time between them, is 0": {"ADDL": [0, 3]},
    "row 0: .*'ADDL' holds 1.5": {"ADDL": [1.5, 0], "II": [1, 1]},
    "row 1: the column 'RATE' holds -2, but a rate is positive": {"RATE": [0, -2]},
    "row 1: an infusion into compartment 1 begins at 1, before the one of row 0 ends at 2": {
        "RATE": [0.5, 0.5]
    },
    "row 1: the event of system 'a' is at 2, before that of row 0 at 3": {"TIME": [3, 2]},
    "row 1: the event of system 'a' has no time in the column 'TIME'": {"TIME": [3, np.nan]},
    "row 1: the event has no system": {"ID": ["a", ""]},
    "row 0: the column 'EVID' holds 4, which resets a system": {"EVID": [4, 1]},
    "row 1: the column 'EVID' holds 0, and the amount 'AMT' is 1": {"EVID": [1, 0]},
    "row 1: the column 'SS' holds 1, but doses at a steady state": {"SS": [0, 1]},
    "there is no column 'AMT'": {"amount": [1, 1], "AMT": None},
    "the column 'TIME' holds dates": {"TIME": ["2024-01-01", "2024-01-02"]},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_tables_are_told_with_their_row(message: str):
    columns = WRONG[message]
    frame = doses(**{name: each for name, each in columns.items() if each is not None})
    frame = frame.drop(columns=[name for name, each in columns.items() if each is None])
    keys = {**KEYS, "amount_column": "AMT", "columns": ["amount", "duration"]}
    made = Inputs.model_construct(**keys, count=9)
    with pytest.raises(DataError, match=message):
        made.events(text_frame(frame))


def test_infusions_into_other_compartments_or_that_touch_do_not_overlap():
    frame = doses(TIME=[0, 1, 2], AMT=[2, 2, 1], RATE=[1, 1, 1], CMT=[1, 2, 1])
    assert len(events(frame)["a"]) == 3


def test_a_series_with_a_gap_in_one_of_its_columns_is_refused():
    frame = pd.DataFrame({"ID": ["a", "a"], "TIME": [0, 1], "rain": [3, 1], "sun": [3, np.nan]})
    made = Inputs.model_construct(**KEYS, amount_column=None, columns=["rain", "sun"], count=2)
    with pytest.raises(DataError, match="row 1: the column 'sun' holds no value"):
        made.events(text_frame(frame))


def test_rows_that_hold_no_observation_have_one_reason_each():
    frame = text_frame(doses(AMT=[3, 0, 0], EVID=[1, 0, 2], MDV=[1, 0, 0]))
    found = {reason: rows.tolist() for reason, rows in rows_without_observation(frame).items()}
    assert found == {
        "in rows with MDV 1": [True, False, False],
        "in rows with EVID other than 0": [False, False, True],
    }
    assert rows_without_observation(text_frame(doses(AMT=[3, 0, 0]))) == {}


def test_further_doses_have_the_times_that_a_table_would_hold():
    found = events(doses(AMT=[1], ADDL=[3], II=[0.1]))["a"]
    assert [time for time, _ in found] == [0, 0.1, 0.2, 0.3]


def test_an_interval_or_a_rate_in_another_unit_is_refused():
    named = {"TIME": "TIME [h]", "AMT": "AMT [mg]"}
    interval = doses(AMT=[1.0], ADDL=[1], **{"II [min]": [60]}).rename(columns=named)
    with pytest.raises(Exception, match=r"'II \[min\]' is in min.*convert it to h"):
        section(interval)
    rate = doses(AMT=[1.0], **{"RATE [mg/min]": [60]}).rename(columns=named)
    with pytest.raises(Exception, match="convert it to mg/h"):
        section(rate)
