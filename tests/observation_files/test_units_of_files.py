"""Units that a file states, compared with those of the forward model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.sections.units import differing_units

VALUES = np.random.default_rng(0).normal(size=(6, 2))
pytestmark = pytest.mark.usefixtures("in_folder")


def model(units: str, coordinates: str = "h") -> Observations:
    return Observations(
        np.array([[0.5], [1.0]]), ("t",), "head", units=units, coordinate_units=coordinates
    )


def written(kind: str, units: str) -> FileObservations:
    """Write the values with their unit, in each form that can state one."""
    if kind == "wide":
        pd.DataFrame(VALUES, columns=[f"a [{units}]", f"b [{units}]"]).to_csv("y.csv", index=False)
        return FileObservations(file="y.csv")
    if kind == "gridded":
        array = xr.DataArray(VALUES, dims=("system", "time"), attrs={"units": units})
        xr.Dataset({"observations": array}).to_netcdf("y.nc")
        return FileObservations(file="y.nc")
    columns = {
        "id": ("row", np.repeat(np.arange(6), 2)),
        "t": ("row", np.tile([0.5, 1.0], 6)),
        "value": ("row", VALUES.ravel(), {"units": units}),
    }
    file = "long.nc" if kind == "long dataset" else "long.csv"
    dataset = xr.Dataset(columns)
    if kind == "long dataset":
        dataset.to_netcdf(file)
    else:
        dataset.to_dataframe().rename(columns={"value": f"value [{units}]"}).to_csv(file)
    return FileObservations(
        file=file, layout="long", system_column="id", time_column="t", value_column="value"
    )


@pytest.mark.parametrize("kind", ["wide", "gridded", "long", "long dataset"])
def test_observations_in_another_unit_are_refused(kind: str) -> None:
    section = written(kind, "cm")
    with pytest.raises(DataError, match=r"'cm', but the forward model's 'head' is in 'm'"):
        read_fitting(section, model("m"))


@pytest.mark.parametrize("kind", ["wide", "gridded", "long", "long dataset"])
@pytest.mark.parametrize("units", ["metre", "m"])
def test_the_same_unit_in_another_spelling_is_accepted(kind: str, units: str) -> None:
    table = read_fitting(written(kind, units), model("m"))
    np.testing.assert_allclose(table.values, VALUES)


@pytest.mark.parametrize("kind", ["wide", "gridded", "long", "long dataset"])
def test_another_unit_than_in_the_study_is_refused(kind: str) -> None:
    own = read_fitting(written(kind, "cm"), model("1")).column_units
    assert set(own.values()) == {"cm"}
    read_fitting(written(kind, "cm"), model("1"), units=own)
    with pytest.raises(DataError, match=r"in 'mm', but in the study it is in 'cm'\. Convert"):
        read_fitting(written(kind, "mm"), model("1"), units=own)


def test_times_in_another_unit_are_refused() -> None:
    columns = {"id": np.repeat(np.arange(6), 2), "value": VALUES.ravel()}
    times = np.tile([0.5, 1.0], 6)
    pd.DataFrame({**columns, "t [min]": times}).to_csv("times.csv", index=False)
    section = written("long", "cm").replace(file="times.csv")
    with pytest.raises(DataError, match=r"'t' is in 'min', but the times .* are in 'h'\. Conv"):
        read_fitting(section, model("1"))
    read_fitting(section, model("1", coordinates="minutes"))


def test_units_that_the_model_does_not_state_are_accepted() -> None:
    read_fitting(written("gridded", "cm"), model("1"))


def test_the_unit_of_a_time_in_the_name_of_a_column_is_not_that_of_its_values() -> None:
    read_fitting(written("wide", "h"), model("m", coordinates="h"))
    with pytest.raises(DataError, match="column 1"):
        read_fitting(written("wide", "s"), model("m", coordinates="h"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kg/(m s)", "kg m^-1 s^-1"),
        ("mg/L", "mg·l⁻¹"),
        ("W m**-2", "W/m2"),
        ("m per second", "m/s"),
        ("1/h", "h-1"),
        ("", "m"),
    ],
)
def test_units_that_agree(one: str, other: str) -> None:
    assert not differing_units(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("m", "mm"), ("m/s", "m s"), ("m2", "m3"), ("mg/L", "g/L"), ("K", "°C"), ("0.01 m", "m")],
)
def test_units_that_differ(one: str, other: str) -> None:
    assert differing_units(one, other)


def with_units(units: list[str], **keys: str) -> FileObservations:
    frame = pd.DataFrame(
        {
            "id": np.repeat([f"s{i}" for i in range(6)], 2),
            "t": np.tile([0.5, 1.0], 6),
            "what": np.tile(["p", "q"], 6),
            "value": VALUES.ravel(),
            "unit": units,
        }
    )
    frame.to_csv("y.csv", index=False)
    columns = {"system_column": "id", "time_column": "t", "value_column": "value"}
    return FileObservations(file="y.csv", layout="long", **columns, **keys)


def test_values_of_one_column_in_several_units_are_refused() -> None:
    section = with_units(["ug/L"] * 6 + ["mg/L"] * 6)
    told = "line 2 and line 8: the column 'unit' states the units ug/L and mg/L. Convert the values"
    with pytest.raises(DataError, match=told):
        read_fitting(section, model("m"))
    spelt = with_units(["mg/L", "mg L^-1"] * 6)
    np.testing.assert_array_equal(read_fitting(spelt, model("m")).values, VALUES)


def test_each_quantity_may_have_a_unit() -> None:
    section = with_units(["ug/L", "mg/L"] * 6, label_column="what")
    at = Observations(np.array([[0.5], [1.0]]), ("t",), "head", units="m", labels=["p", "q"])
    np.testing.assert_array_equal(read_fitting(section, at).values, VALUES)
