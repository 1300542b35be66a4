"""Every value of a table is used, or left out for a reason that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_sections import long_table

from popinv.config.data_files import check_observation_file
from popinv.config.loading import load_file
from popinv.config.observations import FileObservations
from popinv.errors import DataError
from popinv.forward.inputs.section import Inputs
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.table import ObservationTable
from popinv.sections.tables import is_missing, read_frame, text_frame
from tests.observation_files.read_tables import observed_at

ROOT = Path(__file__).parents[2]
TIMES = np.array([2.0, 6.0, 8.0, 12.0, 16.0])
AT = observed_at(TIMES)


def read(frame: pd.DataFrame, **keys: object) -> ObservationTable:
    inputs = Inputs(file="none.csv", system_column="ID", time_column="TIME", amount_column="AMT")
    inputs = inputs.with_table(frame).written_out()
    section = long_table("y.csv", "ID", "DV", "TIME", **keys)
    names = inputs.shape().names()
    observations = FileObservations.model_validate(section)
    return read_fitting(observations, AT, names, given=frame, inputs=inputs)


def troughs(patients: int = 30) -> pd.DataFrame:
    """Four values in rows of their own, and one in the row of the second dose."""
    rows = [
        (f"p{i}", t, 100.0 if t in (0.0, 6.0 + 2 * (i % 2)) else "", 10 * i + t if t else "")
        for i in range(patients)
        for t in (0.0, *TIMES)
    ]
    return text_frame(pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "DV"]))


def test_a_value_in_the_row_of_a_dose_is_an_observation():
    rows = troughs()
    one = read(rows)
    assert one.account.sentence() == "all 150 values of the table are used"
    both = rows[(rows["AMT"] != "") & (rows["DV"] != "")]
    split = pd.concat([rows.drop(both.index), both.assign(AMT=""), both.assign(DV="")])
    apart = read(split.sort_index(kind="stable"))
    np.testing.assert_array_equal(one.values, apart.values)
    np.testing.assert_array_equal(one.known.design, apart.known.design)


def test_marked_rows_hold_no_observation():
    rows = troughs(4)
    rows["EVID"] = np.where(rows["AMT"] == "", "0", "1")
    rows["MDV"] = np.where(rows["DV"] == "2.0", "1", "0")
    table = read(rows)
    told = "15 of the 20 values of the table are used, but not 1 in rows with MDV 1 and not 4 in "
    assert table.account.sentence() == f"{told}rows with EVID other than 0"


def test_stand_ins_are_counted():
    rows = troughs(4)
    rows.loc[rows["DV"].isin(["6.0", "16.0"]), "DV"] = "-999"
    told = "17 of the 20 values of the table are used, but not 3 that stand for missing values"
    assert read(rows, missing_values=[-999]).account.sentence() == told


def test_zeros_beside_doses_are_asked_about():
    rows = troughs(4)
    dosed = rows["AMT"] != ""
    rows.loc[dosed & (rows["TIME"] != "0.0"), "DV"] = "0"
    with pytest.raises(DataError, match="'DV' is 0 in all 4 rows with a dose, but in few others"):
        read(rows)
    assert read(rows.assign(MDV="0")).account.used == 20
    assert read(rows.assign(MDV=np.where(dosed, "1", "0"))).account.used == 16


STUDIES = [
    "boys_heights",
    "chick_weights",
    "phenobarbital",
    "rails",
    "recession",
    "theophylline",
    "colonies",
    "drug_levels",
    "late_valves",
    "rain_column",
]


@pytest.mark.parametrize("name", STUDIES)
def test_the_account_is_that_of_the_table(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    (study, *_) = load_file(f"config/examples/{name}.yaml").studies.values()
    section = study.observations
    assert isinstance(section, FileObservations)
    law = study.law
    names = law.covariate_names()
    table = check_observation_file(section, study.forward, names, law.level_columns())
    assert table.account is not None
    if section.layout == "long":
        values = read_frame(Path(section.file))[section.value_column]
        assert table.account.total == sum(not is_missing(cell) for cell in values)
    assert table.account.used == np.isfinite(table.values).sum()
    assert table.account.masked.keys() <= {"that stand for missing values"}
    assert table.account.used == table.account.total
