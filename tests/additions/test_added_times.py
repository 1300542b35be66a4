"""Systems that join with times, events and a table of inputs of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from linear_doses import LAW, maximum, table

import popinv
from popinv.errors import DataError

COLUMNS = {"system_column": "ID", "time_column": "TIME"}
LATE = 8


def solve(z, times, inputs):
    given = np.where(
        inputs["present"][:, None] & (inputs["time"][:, None] <= np.asarray(times)[..., None]),
        inputs["amount"][:, None],
        0.0,
    )
    return z[:, :1] * given.sum(axis=2)


def parted() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the first systems and the others, which alone have the last time and four doses."""
    both = table()
    first = both[both.ID < LATE]
    return first[first.TIME < 5], both[both.ID >= LATE]


def doses(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.EVID == 1].drop(columns=["DV", "EVID"])


def seen(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.loc[rows.EVID == 0, ["ID", "TIME", "DV"]]


@pytest.fixture(scope="module")
def first() -> popinv.Result:
    rows = parted()[0]
    inputs = {**COLUMNS, "table": doses(rows), "amount_column": "AMT"}
    keys = {"noise": "isotropic", "value_column": "DV", "tests": False, "progress": False}
    return popinv.fit(seen(rows), solve, law=LAW, inputs=inputs, **COLUMNS, **keys)


def test_times_events_and_tables_of_inputs_are_those_of_the_added_systems(first):
    early, late = parted()
    both = first.add(seen(late), inputs=doses(late), tests=False)
    assert first.model.forward.observations.described_times() == [1.0, 2.0, 4.0]
    assert both.model.forward.observations.described_times() == [1.0, 2.0, 4.0, 6.0]
    rooms = [each.model.forward.timed.shape().count for each in (first, both)]
    assert rooms == [3, 4]
    largest, at = maximum(pd.concat([early, late]))
    assert both.metrics["log_likelihood"] == pytest.approx(largest, abs=1e-3)
    summary = both.summary()
    apart = (summary["estimate"].to_numpy() - at) / summary["standard_error"].to_numpy()
    assert np.all(np.abs(apart) < 0.02)


def test_a_table_may_hold_the_inputs_beside_the_observations(first):
    late = parted()[1].assign(AMT=lambda rows: rows.AMT.where(rows.EVID == 1))
    both = first.add(late, tests=False)
    apart = first.add(seen(late), inputs=doses(late), tests=False)
    pd.testing.assert_frame_equal(both.summary(), apart.summary())


def test_wrong_inputs_of_added_systems_are_refused_as_in_a_study(first):
    late = parted()[1]
    given, rows = doses(late), seen(late)
    with pytest.raises(
        DataError, match=r"data: the added systems have no inputs; .*--inputs TABLE"
    ):
        first.add(rows)
    with pytest.raises(DataError, match=r"inputs: .*'11' was observed, but it has no inputs"):
        first.add(rows, inputs=given[given.ID != 11])
    with pytest.raises(DataError, match="has inputs of the system '77'"):
        first.add(rows, inputs=pd.concat([given, given[given.ID == 11].assign(ID=77)]))
    with pytest.raises(DataError, match="'9' has a dose at 5, after its last observation at 4"):
        first.add(rows[rows.TIME < 5], inputs=given)
