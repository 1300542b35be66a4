"""Values below a limit of quantification, and logarithms, in files of observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.forward.external.observations import SimulatorObservations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.limits import told_limits
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable
from popinv.population.limits import limits_of

HEADER = "a,b\n"
ROWS = "0.5,2.0\n0.05,3.0\n0.0,1.5\n0.7,0.2\n0.3,1.0\n"


def written(folder: Path, text: str) -> str:
    file = folder / "data.csv"
    file.write_text(HEADER + text)
    return str(file)


def observed(logarithm: bool = False) -> SimulatorObservations:
    return SimulatorObservations(count=2, name="c", units="mg/L", logarithm=logarithm)


def test_smaller_values_are_at_the_limit(tmp_path: Path):
    section = FileObservations(file=written(tmp_path, ROWS), censored_below=[0.1, 0.5])
    values = read_fitting(section, observed().described()).values
    assert values[:, 0].tolist() == [0.5, 0.1, 0.1, 0.7, 0.3]
    assert values[:, 1].tolist() == [2.0, 3.0, 1.5, 0.5, 1.0]


def test_limits_of_logarithms_are_logarithms(tmp_path: Path):
    section = FileObservations(file=written(tmp_path, ROWS), censored_below=0.1)
    described = observed(logarithm=True).described()
    table = read_fitting(section, described)
    limits = limits_of(table.limits, described)
    np.testing.assert_allclose(limits.lower, np.log(0.1))
    np.testing.assert_array_equal(table.values[1:3, 0], limits.lower[1:3, 0])
    below, above = limits.censored(table.values)
    assert np.argwhere(below).tolist() == [[1, 0], [2, 0]]
    assert not above.any()
    assert (described.name, described.units) == ("log_c", "1")
    assert "mg/L" in described.long_name


def test_a_value_without_a_logarithm_is_refused(tmp_path: Path):
    section = FileObservations(file=written(tmp_path, ROWS))
    with pytest.raises(DataError, match=r"1 observations are not positive.* of system 3"):
        read_fitting(section, observed(logarithm=True).described())


@pytest.mark.parametrize(("cell", "key"), [("<0.1", "censored_below"), (">0.1", "censored_above")])
def test_a_cell_beyond_a_limit_is_told_how_to_be_written(tmp_path: Path, cell: str, key: str):
    section = FileObservations(file=written(tmp_path, ROWS.replace("0.05", cell)))
    with pytest.raises(DataError, match=rf"Write the limit itself, 0\.1, .*{key}"):
        read_fitting(section, observed().described())


def ends_of(table: ObservationTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends between which the values of a table lie."""
    return limits_of(table.limits, observed().described()).ends(table.values)


def test_limits_above_and_between(tmp_path: Path):
    keys = {"censored_below": 0.1, "not_below": 0, "censored_above": [0.6, 2.5]}
    section = FileObservations(file=written(tmp_path, ROWS), **keys)
    low, high = ends_of(read_fitting(section, observed().described()))
    assert low[:, 0].tolist() == [0.5, 0.0, 0.0, 0.6, 0.3]
    assert high[:, 0].tolist() == [0.5, 0.1, 0.1, np.inf, 0.3]
    assert low[1].tolist() == [0.0, 2.5]
    assert high[1].tolist() == [0.1, np.inf]


LONG = "id,c,at,y,lloq,cens,limit\n"
KEYS = {
    "layout": "long",
    "system_column": "id",
    "value_column": "y",
    "label_column": "c",
}


def long_table(folder: Path, rows: str, **keys: object) -> ObservationTable:
    file = folder / "long.csv"
    file.write_text(LONG + rows)
    section = FileObservations.model_validate({"file": str(file), **KEYS, **keys})
    described = SimulatorObservations(count=2, name="c", labels=["a", "b"]).described()
    return read_fitting(section, described)


ROW = "{},{},0,{},{},{},{}\n"
CELLS = [
    ("p", "a", 0.5, 0.1, 0, ""),
    ("p", "b", 2.0, 0.2, 0, ""),
    ("q", "a", 0.1, 0.1, 1, 0),
    ("q", "b", 3.0, 0.3, 0, ""),
    ("r", "a", 0.9, 0.2, 0, ""),
    ("r", "b", 2.5, 0.2, 0, ""),
    ("s", "a", 0.1, "", 1, 0),
    ("s", "b", 3.5, 0.5, -1, ""),
]


def rows_of(cells: list[tuple]) -> str:
    return "".join(ROW.format(*each) for each in cells)


def test_a_column_has_the_limit_of_each_value(tmp_path: Path):
    keys = {"censored_below": {"column": "lloq"}}
    table = long_table(tmp_path, rows_of([*CELLS[:6], ("s", "a", 0.1, "", 1, 0), CELLS[7]]), **keys)
    low, high = ends_of(table)
    # The limit of the last system's first value lacks, so that it was seen.
    assert low.tolist() == [[0.5, 2.0], [-np.inf, 3.0], [0.9, 2.5], [0.1, 3.5]]
    assert high[1].tolist() == [0.1, 3.0]
    assert limits_of(table.limits, observed().described()).lower[2].tolist() == [0.2, 0.2]


def test_the_columns_of_monolix(tmp_path: Path):
    keys = {"censoring_column": "cens", "limit_column": "limit"}
    table = long_table(tmp_path, rows_of(CELLS), **keys)
    low, high = ends_of(table)
    assert low.tolist() == [[0.5, 2.0], [0.0, 3.0], [0.9, 2.5], [0.0, 3.5]]
    assert high.tolist() == [[0.5, 2.0], [0.1, 3.0], [0.9, 2.5], [0.1, np.inf]]
    # The limits of the censored values of a quantity are those of the others.
    limits = limits_of(table.limits, observed().described())
    assert limits.lower.tolist() == [[0.1, -np.inf]] * 4
    assert limits.upper.tolist() == [[np.inf, 3.5]] * 4
    assert table.limits_shared
    assert told_limits(table) == ""


def test_cells_with_signs_are_marked_values(tmp_path: Path):
    marked = {-1: ">", 0: "", 1: "<"}
    cells = [(q, c, f"{marked[mark]}{y}", "", "", "") for q, c, y, _, mark, _ in CELLS]
    table = long_table(tmp_path, rows_of(cells), censoring_column="y")
    expected = long_table(tmp_path, rows_of([(*each[:5], "") for each in CELLS]),
                          censoring_column="cens")  # fmt: skip
    np.testing.assert_array_equal(table.values, expected.values)
    for name, limit in expected.limits.items():
        np.testing.assert_array_equal(table.limits[name], limit)
    # Without LIMIT the censored values of a quantity have one limit, too.
    assert table.limits_shared
    assert limits_of(table.limits, observed().described()).lower.tolist() == [[0.1, -np.inf]] * 4


@pytest.mark.parametrize("other", [("s", "a", 0.2, "", 1, 0), ("r", "a", 0.05, 0.2, 0, "")])
def test_limits_that_the_others_do_not_have_are_told(tmp_path: Path, other: tuple):
    cells = [other if each[:2] == other[:2] else each for each in CELLS]
    table = long_table(tmp_path, rows_of(cells), censoring_column="cens", limit_column="limit")
    limits = limits_of(table.limits, observed().described())
    assert limits.lower[:, 0].tolist()[:2] == [-np.inf, 0.1]
    assert "state the limits of all values" in told_limits(table)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (("q", "a", 0.1, 0.1, 2, 0), r"line 4: the column 'cens' holds 2"),
        (("q", "a", 0.1, 0.1, 1, 0.1), r"line 4: .* censored below, .* must be smaller"),
        (("s", "b", 3.5, 0.5, -1, 3), r"line 9: .* censored above, .* must be larger"),
    ],
)
def test_marks_that_say_nothing_are_refused(tmp_path: Path, cell: tuple, said: str):
    cells = [cell if each[:2] == cell[:2] else each for each in CELLS]
    with pytest.raises(DataError, match=said):
        long_table(tmp_path, rows_of(cells), censoring_column="cens", limit_column="limit")


def test_columns_of_a_wide_table(tmp_path: Path):
    file = tmp_path / "wide.csv"
    lines = [f"{row},{0.1 * i},{i}" for i, row in enumerate(ROWS.split(), start=1)]
    file.write_text("a,b,l,m\n" + "\n".join(lines))
    one = FileObservations.model_validate(
        {"file": str(file), "censored_below": {"column": "l"}, "ignored_columns": ["m"]}
    )
    lower = limits_of(read_fitting(one, observed().described()).limits, observed().described())
    np.testing.assert_allclose(lower.lower, 0.1 * np.arange(1, 6)[:, None] * np.ones(2))
    each = one.replace(censored_below={"column": ["l", "m"]}, ignored_columns=[])
    lower = limits_of(read_fitting(each, observed().described()).limits, observed().described())
    np.testing.assert_allclose(lower.lower[:, 1], np.arange(1, 6))


def test_a_variable_of_a_netcdf_file(tmp_path: Path):
    file, values = tmp_path / "y.nc", np.arange(10.0).reshape(5, 2)
    dims = ("system", "observation")
    xr.Dataset({"y": (dims, values), "most": (dims, values + 1 - 2 * (values > 7))}).to_netcdf(file)
    section = FileObservations.model_validate(
        {"file": str(file), "censored_above": {"column": "most"}}
    )
    low, high = ends_of(read_fitting(section, observed().described()))
    assert low[4].tolist() == [7.0, 8.0]
    assert np.isinf(high[4]).all()
    assert low[0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"censored_below": 0.5, "censored_above": 0.4},
            "'censored_below' is 0.5 and 'censored_ab",
        ),
        ({"not_below": 0.1}, "there is no 'censored_below'"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(tmp_path: Path, keys: dict, said: str):
    section = FileObservations(file=written(tmp_path, ROWS), **keys)
    with pytest.raises(DataError, match=rf"line 2, column 1 \(a\): .*{said}"):
        read_fitting(section, observed().described())
