"""Systems that join a fit: the answer of all systems, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

import boys  # noqa: E402

import popinv  # noqa: E402
from popinv.errors import DataError  # noqa: E402


def parted(first: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = boys.table()
    early = table["Subject"].isin(table["Subject"].unique()[:first])
    return table[early], table[~early]


@pytest.fixture(scope="module")
def first() -> popinv.Result:
    return boys.fit(parted(24)[0], tests=False)


def test_the_answer_is_that_of_all_systems(first):
    both = first.add(parted(24)[1], tests=False)
    likelihood = both.artefacts["likelihood"]
    p = np.concatenate([likelihood["alpha"].values, likelihood["gamma"].values])
    errors = np.sqrt(np.diag(likelihood["covariance"].values))
    # The closed form of all 26 boys is rounded to four digits.
    assert np.all(np.abs(p - boys.CLOSED_FORM) < 0.01 * errors)
    assert both.metrics["log_likelihood"] == pytest.approx(-362.984, abs=0.001)
    assert both.observations.sizes["system"] == 26
    assert np.all(both.artefacts["batch"]["p_value"] > 0.05)
    # The first result is what it was.
    assert first.observations.sizes["system"] == 24


def test_two_additions_are_one(first, tmp_path):
    _, late = parted(24)
    one, two = (late[late["Subject"] == name] for name in late["Subject"].unique())
    both = first.add(one, tests=False).add(two, tests=False)
    assert list(both.observations.attrs["added"]) == [1, 1]
    assert both.metrics["log_likelihood"] == pytest.approx(-362.984, abs=0.001)
    again = popinv.load(both.save(tmp_path / "boys"), boys.line)
    pd.testing.assert_frame_equal(again.summary(), both.summary())


def test_a_loaded_result_takes_a_file(first, tmp_path):
    late = parted(24)[1]
    late = late.assign(age=late["age"].replace(0.7808, 0.7479))
    late.to_csv(tmp_path / "late.csv", index=False)
    loaded = popinv.load(first.save(tmp_path / "boys"), boys.line)
    both = loaded.add(tmp_path / "late.csv", tests=False)
    assert both.observations.sizes["system"] == 26


def test_systems_of_another_kind_differ(first):
    late = parted(24)[1]
    taller = first.add(late.assign(height=late["height"] + 60), tests=False)
    assert taller.artefacts["batch"]["p_value"].sel(compared="law") < 0.001
    assert "another law" in taller.artefacts["batch"].attrs["statement"]


def test_wrong_systems_are_refused(first):
    early, late = parted(24)
    with pytest.raises(DataError, match="'1' is already in the study; leave out"):
        first.add(pd.concat([late, early[early["Subject"] == early["Subject"].iloc[0]]]))
    with pytest.raises(DataError, match="there is no column 'height'"):
        first.add(late.rename(columns={"height": "size"}))
    with pytest.raises(DataError, match="in 'm', but the forward model's 'height' is in 'cm'"):
        first.add(late.rename(columns={"height": "height [m]"}))
    with pytest.raises(DataError, match="the table has 0 rows"):
        first.add(late.iloc[:0])
