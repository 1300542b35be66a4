"""Numbers that stand for missing values: which are suspected, and what the study states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.observation_files.stand_ins import stand_ins_in, stand_ins_of
from popinv.observation_files.table import ObservationTable
from tests.observation_files.read_tables import read_file

VALUES = np.random.default_rng(0).normal(3, 1, size=(20, 3))
THREE = Observations(np.arange(3.0)[:, None], ("entry",), "y")
pytestmark = pytest.mark.usefixtures("in_folder")


NUMBERS = [-999.0, 999.0, -9999.0, 9999.0, -99.0, 99999.0, -32768.0, -8888.0, -7777.0]
NUMBERS += [-9.0, 65535.0, -99999.9, float(np.float32(-99999.9)), 999.9, -32767.0, -2147483648.0]
NUMBERS += [1e30, -1e34, 1e20, float(np.float32(9.96921e36)), float(np.finfo(np.float32).max)]


@pytest.mark.parametrize("number", NUMBERS)
def test_usual_numbers_far_from_the_others_are_suspected(number: float) -> None:
    values = VALUES[:, 0].copy()
    assert stand_ins_of(values) == []
    values[[3, 5, 6]] = number, number, np.nan
    assert stand_ins_of(values) == [(number, 2)]


def test_ordinary_numbers_are_not() -> None:
    assert stand_ins_of(np.array([900.0, 950, 990, 999, 999])) == []
    assert stand_ins_of(np.array([1.0, 2, 3, -998, -998])) == []
    assert stand_ins_of(np.array([0.1, 0.2, 0.3, 9.9, 9.9])) == []
    assert stand_ins_of(np.array([1.0, 2, 3, 9, 9, 9])) == []
    assert stand_ins_of(np.array([-4.0, 2, 3, -9, -9])) == []
    assert stand_ins_of(np.array([1e30, 1.5e30, 2e30])) == []
    assert stand_ins_of(np.array([-999.0, -999])) == []
    assert stand_ins_of(np.array([])) == []


def test_one_stand_in_does_not_hide_another() -> None:
    found = stand_ins_of(np.array([1.0, 2, 3, -999, -9999, -9999, 1e30]))
    assert found == [(-9999, 2), (-999, 1), (1e30, 1)]


def test_all_stand_ins_of_random_columns_are_found() -> None:
    random = np.random.default_rng(11)
    for _ in range(300):
        values = random.normal(random.normal(0, 5), random.uniform(0.1, 5), size=40)
        numbers = random.choice(NUMBERS, size=2, replace=False)
        # Whoever has a number below -99 among ordinary ones states what it is.
        numbers = numbers[np.abs(numbers) > 200]
        at = random.permutation(40)[: 2 * len(numbers)].reshape(len(numbers), 2)
        for number, places in zip(numbers, at, strict=True):
            values[places] = number
        assert stand_ins_of(values) == [(number, 2) for number in np.sort(numbers)]


def test_a_very_large_number_needs_no_second() -> None:
    (found,) = stand_ins_in(["a"], [np.array([1.0, 2, 3, 1e30])])
    assert (found.number, found.count) == (1e30, 1)


def test_a_number_must_repeat_somewhere_in_the_table() -> None:
    once = np.array([1.0, 2, 3, -999])
    assert stand_ins_in(["a"], [once]) == []
    found = stand_ins_in(["a", "b", "c"], [once, VALUES[:, 0], once])
    assert [(each.column, each.count) for each in found] == [("a", 1), ("c", 1)]


# --- what a study states ------------------------------------------------------------------------


def section(**keys: object) -> FileObservations:
    return FileObservations.model_validate({"file": "y.csv"} | keys)


def write(values: np.ndarray, head: str = "") -> None:
    rows = "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
    Path("y.csv").write_text(head + rows)


def with_gaps() -> np.ndarray:
    values = VALUES.copy()
    values[[2, 7, 8], 1] = -999
    return values


def test_the_run_stops_until_the_study_says_what_the_number_is() -> None:
    write(with_gaps(), "p,q,r\n")
    with pytest.raises(DataError) as caught:
        read_fitting(section(), THREE)
    assert str(caught.value) == (
        "y.csv: column 2 (q) holds -999 in 3 rows, which may stand for missing: state "
        "'observations.missing_values: [-999.0]', or '[]' if it is an observation"
    )
    np.testing.assert_array_equal(
        read_fitting(section(missing_values=[]), THREE).values, with_gaps()
    )
    with pytest.raises(DataError, match=r"line 4, column 2 \(q\) is missing"):
        read_fitting(section(missing_values=[-999]), THREE)
    table = read_fitting(section(missing_values=[-999], missing="mask"), THREE)
    np.testing.assert_array_equal(np.isnan(table.values), with_gaps() == -999)


def test_several_columns_are_counted() -> None:
    values = with_gaps()
    values[0, 2] = -9999
    values[1, 2] = -9999
    write(values)
    with pytest.raises(DataError, match=r"\(1 more columns hold such numbers\).*\[-9999.0, -999.0"):
        read_fitting(section(), THREE)


def test_noise_scales_and_known_columns_are_asked_about_too() -> None:
    dose = np.where(np.arange(20) < 2, -99, np.arange(20.0))
    write(np.column_stack([VALUES, dose]), "p,q,r,dose\n")
    message = "the column 'dose' holds -99 in 2 rows"
    for keys in ({"design": ["dose"]}, {"covariates": ["dose"]}):
        with pytest.raises(DataError, match=message):
            read_fitting(section(), THREE, **keys)
        with pytest.raises(DataError, match=r"holds -99\.0, which stands for a missing value"):
            read_fitting(section(missing_values=[-99]), THREE, **keys)
    with pytest.raises(DataError, match="line 2: the noise scale is missing"):
        read_fitting(section(missing_values=[-99], noise_scale_column="dose"), THREE)


def test_a_long_table_is_asked_about_its_values() -> None:
    rows = [f"{s},{t},{-9999 if s == 3 + t else s + t}.0\n" for s in range(8) for t in (0, 1)]
    Path("y.csv").write_text("s,t,y\n" + "".join(rows))
    keys = {"layout": "long", "system_column": "s", "value_column": "y", "time_column": "t"}
    two = Observations(np.arange(2.0)[:, None], ("t",), "y")
    with pytest.raises(DataError, match="the column 'y' holds -9999 in 2 rows"):
        read_fitting(section(**keys), two)
    table = read_fitting(section(**keys, missing_values=[-9999]), two)
    assert np.argwhere(np.isnan(table.values)).tolist() == [[3, 0], [4, 1]]


def test_other_formats_have_stand_ins_too() -> None:
    import xarray as xr

    dataset = xr.Dataset({"observations": (("system", "sensor"), with_gaps())})
    dataset.to_netcdf("y.nc", engine="scipy")
    table: ObservationTable = read_file("y.nc", missing="mask", missing_values=[-999])
    assert int(np.isnan(table.values).sum()) == 3
