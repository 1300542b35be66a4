"""Arrays, tables of pandas and objects of xarray as observations: what is read of each."""

from __future__ import annotations

from typing import Any

import boys
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from study_sections import function

import popinv
from popinv.api.data import given_data
from popinv.api.study import Wanted, known_names, study_of
from popinv.errors import ConfigError, DataError

ONE = {"mean": 0.0, "standard_deviation": 1.0}


def level(z, times=None):
    """Return the parameter at every time, or at two entries."""
    return np.repeat(z[:, :1], 2 if times is None else len(times), axis=1)


def seen(data: Any, simulator: Any = level, **keywords: Any) -> xr.Dataset:
    """Return observations as the estimators see them."""
    of_fit = {"law": {"kind": "normal", "start": {"a": ONE}}, "noise": {"kind": "isotropic"}}
    for name in ("law", "noise"):
        of_fit[name] = keywords.pop(name, of_fit[name])
    wanted = Wanted(
        simulator=simulator,
        **of_fit,
        parameters=keywords.pop("parameters", None),
        design=keywords.pop("design", ()),
        inputs=None,
        observations=keywords.pop("observations", {}),
        vectorised=True,
        stochastic=False,
        sections={},
        seed=1,
    )
    options = {name: keywords.pop(name, None) for name in ("known", "times", "grid")}
    given = given_data(data, keywords, known_names(wanted), **options)
    return study_of(wanted, given)[1]


def refused(data: Any, *arguments: Any, **keywords: Any) -> str:
    """Return the message with which `popinv.fit` refuses."""
    simulator = arguments[0] if arguments else level
    keywords = {"law": {"kind": "normal", "start": {"a": ONE}}, "noise": "isotropic"} | keywords
    with pytest.raises((DataError, ConfigError)) as caught:
        popinv.fit(data, simulator, progress=False, **keywords)
    return str(caught.value)


def pool(count: int = 20, width: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, width))


def in_order(observations: xr.Dataset) -> np.ndarray:
    """Return the observations in the order of the systems' numbers."""
    return observations["y"].values[np.argsort(observations["system_id"].values.astype(int))]


def test_an_array_has_a_row_for_each_system():
    data = pool()
    data[3, 1] = np.nan
    observations = seen(data)
    np.testing.assert_array_equal(in_order(observations), data)
    assert sorted(observations["system_id"].values.astype(int)) == list(range(20))
    np.testing.assert_array_equal(observations["observation_entry"], [0, 1])


def test_lists_are_arrays():
    data = pool()
    np.testing.assert_array_equal(in_order(seen(data.tolist())), data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pool()[:, 0], r"got an array of shape (20,)"),
        (pool()[None], r"got an array of shape (1, 20, 2)"),
        (["a", "b"], "a list that is no array of numbers"),
        (pd.Series([1.0, 2.0]), "got a Series of 2 values"),
    ],
)
def test_other_shapes_are_refused(data, told):
    message = refused(data)
    assert told in message
    assert "a row for each system" in message


def test_infinite_numbers_and_systems_without_numbers_are_refused():
    data = pool()
    data[4, 1] = np.inf
    assert refused(data).startswith("data: row 4, column 1 is infinite")
    data[4] = np.nan
    assert refused(data).startswith("data: row 4 holds no observation at all")
    data[4] = 1.0
    places = xr.DataArray(data.reshape(10, 2, 2), dims=("system", "x", "time"), name="u")
    places[3, 1, 0] = np.inf
    message = refused(places, lambda z, times: np.repeat(level(z, times), 2, 1), times=[0, 1])
    assert message.startswith("data: row 3, x 1, time 0 is infinite")


def test_too_few_systems_are_refused():
    assert "has 3 systems" in refused(pool(3))


def test_constant_observations_are_refused():
    data = pool()
    data[:, 1] = 2.0
    assert "is 2 in all" in refused(data)


def test_times_must_fit_the_columns():
    assert "2 observations of each system, but 3 times" in refused(pool(), times=[0, 1, 2])


def test_entries_have_all_times_one_after_the_other():
    def both(z, times):
        return np.column_stack([level(z, times), 2 * level(z, times)])

    observations = seen(pool(20, 6), both, times=[0.5, 1, 4])
    np.testing.assert_array_equal(observations["observation_t"], [0.5, 1, 4] * 2)
    np.testing.assert_array_equal(observations["observation_entry"], [0, 0, 0, 1, 1, 1])


def test_a_wide_table_names_its_observations_and_systems():
    frame = pd.DataFrame(pool(), columns=["a [mm]", "b"], index=[f"rail {i}" for i in range(20)])
    observations = seen(frame)
    assert list(observations["column"].values) == ["a [mm]", "b"]
    assert set(observations["system_id"].values) == set(frame.index)
    by_name = observations["y"].values[list(observations["system_id"].values).index("rail 7")]
    np.testing.assert_array_equal(by_name, frame.loc["rail 7"])
    without = seen(frame.reset_index(drop=True))
    np.testing.assert_array_equal(in_order(without), frame.to_numpy())


def test_every_kind_of_missing_cell_is_missing():
    frame = pd.DataFrame(pool(), columns=["a", "b"]).astype(object)
    frame.iloc[0, 0], frame.iloc[1, 0], frame.iloc[2, 1] = None, pd.NA, float("nan")
    missing = np.isnan(in_order(seen(frame)))
    assert list(map(tuple, np.argwhere(missing))) == [(0, 0), (1, 0), (2, 1)]


def test_numbers_above_columns_are_times_of_a_function_that_takes_times():
    frame = pd.DataFrame(pool(), columns=[0.5, 2.0])
    np.testing.assert_array_equal(seen(frame)["observation_t"], [0.5, 2.0])
    assert "observation_t" not in seen(frame, lambda z: level(z)).coords


def test_a_long_table_has_a_row_for_each_observation():
    table = boys.table().rename(columns={"height": "height [cm]"})
    observations = seen(table, **boys.COLUMNS)
    assert observations["y"].attrs["units"] == "cm"
    assert observations.sizes == {"system": 26, "observation": 16, "heldout_system": 26}
    times = observations["observation_t"].values
    wide = boys.wide()
    np.testing.assert_array_equal(times, wide.columns)
    np.testing.assert_array_equal(in_order(observations), wide.sort_index().to_numpy())


def test_a_long_table_may_be_rounded_to_a_grid():
    observations = seen(boys.table(), **boys.COLUMNS, time_tolerance=0.13, grid=9)
    assert observations.sizes["observation"] <= 9
    assert int(np.isfinite(observations["y"]).sum()) == len(boys.table())


def test_quantities_of_a_long_table_are_labels():
    rows = [
        {"who": who, "t": t, "what": what, "value": (1 + (what == "b")) * who + t + 0.1 * who * t}
        for who in range(8)
        for t in (0.0, 1.0)
        for what in ("a", "b")
    ]
    observations = seen(
        pd.DataFrame(rows),
        lambda z, times: np.column_stack([level(z, times)] * 2),
        system_column="who",
        time_column="t",
        label_column="what",
        value_column="value",
    )
    assert list(observations["label"].values) == ["a", "a", "b", "b"]
    np.testing.assert_allclose(in_order(observations)[3], [3, 4.3, 6, 7.3])


def test_replicates_of_a_system():
    frame = pd.DataFrame(
        {"rail": np.repeat(range(6), 3), "run": [1, 2, 3] * 6, "travel": pool(18, 1)[:, 0]}
    )
    observations = seen(
        frame,
        lambda z: z[:, :1],
        system_column="rail",
        replicate_column="run",
        value_column="travel",
    )
    assert observations.sizes["observation"] == 3
    assert int(observations["replicate"].max()) == 3


def test_wrong_cells_are_told_of_by_row_and_column():
    frame = pd.DataFrame(pool(), columns=["a", "b"]).astype(object)
    frame.loc[6, "b"] = "<0.1"
    message = refused(frame)
    assert message.startswith("data: row 6, column 'b' is '<0.1', not a number.")
    long = boys.table()
    twice = refused(pd.concat([long, long.iloc[:1]], ignore_index=True), **boys.COLUMNS)
    assert twice.startswith("data: row 234: system '1' has a second value")
    message = refused(long, **{**boys.COLUMNS, "value_column": "hight"})
    assert "there is no column 'hight'" in message
    assert "Did you mean 'height'?" in message


def test_columns_are_of_tables_alone():
    message = refused(pool(), value_column="height")
    assert message == "'value_column' names a column of a DataFrame, but the data have no columns"


def test_an_array_of_xarray_brings_names_units_and_times():
    data = xr.DataArray(
        pool(20, 3),
        dims=("system", "time"),
        coords={"time": ("time", [0.0, 6.0, 12.0], {"units": "h"}), "system": range(20)},
        name="conc",
        attrs={"units": "mg/L", "long_name": "concentration"},
    )
    observations = seen(data)
    assert observations["y"].attrs == {"long_name": "observed concentration", "units": "mg/L"}
    assert observations["observation_t"].attrs["units"] == "h"
    np.testing.assert_array_equal(observations["observation_t"], [0, 6, 12])
    # The order of the dimensions does not matter.
    np.testing.assert_array_equal(seen(data.T)["y"], observations["y"])
    renamed = data.rename(system="time2").expand_dims("k").T
    assert "rename the dimension of the systems" in refused(renamed)


def test_dates_are_days_since_the_first():
    days = np.array(["2024-03-01", "2024-03-02", "2024-03-04"], dtype="M8[ns]")
    data = xr.DataArray(pool(20, 3), dims=("system", "time"), coords={"time": days}, name="y")
    np.testing.assert_array_equal(seen(data)["observation_t"], [0, 1, 3])


def test_places_of_xarray_are_coordinates():
    data = xr.DataArray(
        pool(20, 6).reshape(20, 3, 2),
        dims=("system", "x", "time"),
        coords={"x": ("x", [0.1, 0.5, 0.9], {"units": "m"}), "time": [0.0, 1.0]},
        name="u",
    )
    observations = seen(data, lambda z, times: np.repeat(level(z, times), 3, axis=1))
    np.testing.assert_array_equal(observations["observation_x"], [0.1, 0.1, 0.5, 0.5, 0.9, 0.9])
    np.testing.assert_array_equal(observations["observation_t"], [0, 1] * 3)
    np.testing.assert_array_equal(in_order(observations)[4], data.values[4].ravel())
    turned = seen(data.T, lambda z, times: np.repeat(level(z, times), 3, axis=1))
    xr.testing.assert_identical(turned, observations)


def test_a_dataset_of_several_quantities_and_known_columns():
    data = xr.Dataset(
        {
            "height": (("system", "time"), pool(20, 2), {"units": "cm"}),
            "weight": (("system", "time"), 3 + pool(20, 2), {"units": "kg"}),
            "dose": ("system", np.linspace(1, 2, 20)),
        },
        coords={"time": [0.0, 1.0], "system": [f"s{i}" for i in range(20)]},
    )

    def both(z, design, times):
        return np.column_stack([level(z, times), design * level(z, times)])

    observations = seen(data, both, design=["dose"])
    assert list(observations["label"].values) == ["height [cm]"] * 2 + ["weight [kg]"] * 2
    place = list(observations["system_id"].values).index("s19")
    assert observations["design"].values[place] == [2.0]
    np.testing.assert_array_equal(observations["y"].values[place, :2], data["height"].values[19])
    np.testing.assert_array_equal(observations["y"].values[place, 2:], data["weight"].values[19])


def test_known_quantities_of_an_array_have_one_value_for_each_system():
    message = refused(
        pool(), lambda z, design: design * level(z), design=["dose"], known={"dose": [1, 2]}
    )
    assert "known['dose'] has the shape (2,), but there are 20 systems" in message
    assert "there is no column 'dose'" in refused(
        pool(), lambda z, design: design * level(z), design=["dose"]
    )


def test_times_of_the_data_must_be_those_of_the_forward_model():
    forward = function("boys:line", "a", path="tests/api", observations={"times": [0, 1]})
    data = xr.DataArray(pool(20, 2), dims=("system", "time"), coords={"time": [0.0, 2.0]}, name="y")
    assert "the data have 2 times, 0 to 2, but the forward model has 2, 0 to 1" in refused(
        data, forward
    )


def test_messages_on_arguments_name_them_all_at_once():
    message = refused(
        pool(),
        law={"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": "wide"}}},
        noise={"kind": "isotropic", "start": {"standard_deviation": -1}},
        polish={"drawz": 8},
    )
    assert message.startswith("popinv.fit: 3 problems")
    for place in (
        "law.start.a.standard_deviation",
        "noise.start.standard_deviation",
        "polish.drawz",
    ):
        assert f"\n  {place}\n" in message
    assert "studies" not in message


def test_unknown_keywords_and_unnamed_parameters():
    assert "no argument 'valu_column'. Did you mean 'value_column'" not in refused(
        pool(), noise_scale_colum="s"
    )
    assert "Did you mean 'noise_scale_column'?" in refused(pool(), noise_scale_colum="s")
    assert "'parameters' must name the parameters" in refused(pool(), law=None)
    assert "describe a function" in refused(pool(), {"kind": "lorenz96"}, parameters=["a"])


def test_units_of_parameters_may_stand_beside_their_names():
    observations = seen(pool(), parameters=["a [mg/L]"])
    assert observations.sizes["system"] == 20
    wrong = refused(pool(), parameters=["a b"])
    assert "a name holds letters, digits and _" in wrong
