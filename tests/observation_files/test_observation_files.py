"""Files of observations: what is read, what is missing, what is refused and where."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from tiers import parameters
from xarray.backends.plugins import list_engines

from popinv.errors import DataError
from popinv.observation_files.first_lines import trait_of_places
from popinv.observation_files.heldout import heldout_split, learned_and_tested
from popinv.observation_files.survey import survey
from popinv.observation_files.table import check_columns
from popinv.sections.tables import read_text
from tests.observation_files.read_tables import read_file

VALUES = np.random.default_rng(0).normal(size=(6, 3))
FORMATS = ("csv", "nc", "zarr")
HDF5 = ("h5netcdf", "h5py")


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("data").mkdir()


def text(values: np.ndarray = VALUES, separator: str = ",") -> str:
    return "".join(separator.join(map(repr, row)) + "\n" for row in values.tolist())


def write(content: str, name: str = "data/y.csv") -> str:
    Path(name).write_text(content)
    return name


def dataset(values: np.ndarray = VALUES, name: str = "observations") -> xr.Dataset:
    return xr.Dataset({name: (("system", "sensor"), values), "x": ("sensor", np.arange(3.0))})


def netcdf(content: xr.Dataset, path: str = "data/y.nc") -> str:
    content.to_netcdf(path, engine="scipy")
    return path


def stored(values: np.ndarray, suffix: str) -> str:
    if suffix == "csv":
        return write(text(values))
    content = xr.Dataset({"observations": (("system", "sensor"), values)})
    if suffix == "nc":
        return netcdf(content)
    content.to_zarr("data/y.zarr", consolidated=False, mode="w")
    return "data/y.zarr"


def fault(path: str, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        read_file(path, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        text(),
        "a,b,c\n" + text(),
        '"sensor 1","sensor 2","sensor 3"\r\n' + text().replace("\n", "\r\n"),
        "\ufeffa,b,c\n" + text(),
        "\n" + text() + "\n\n",
        text(separator=";"),
        text(separator="\t"),
        '"a, or b";c;d\n' + text(separator=";"),
        text().replace(",", " , "),
        text().rstrip("\n"),
    ],
)
def test_csv_is_read(content: str) -> None:
    table = read_file(write(content))
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.noise_scale is None
    assert table.system_ids is None
    assert table.time_count is None


def test_one_sensor() -> None:
    assert read_file(write("1\n2\n3\n4\n")).values.shape == (4, 1)


def test_zarr_and_netcdf_are_read() -> None:
    dataset().to_zarr("data/y.zarr", consolidated=False)
    netcdf(dataset(name="pressure"))
    for path in ("data/y.zarr", "data/y.nc"):
        np.testing.assert_array_equal(read_file(path).values, VALUES)


def test_observations_go_before_other_tables() -> None:
    path = netcdf(dataset().assign(truth=(("system", "sensor"), 0 * VALUES)))
    np.testing.assert_array_equal(read_file(path).values, VALUES)


def test_several_tables_without_the_name() -> None:
    message = fault(netcdf(dataset(name="a").assign(b=(("system", "sensor"), VALUES))))
    assert "'observations'" in message
    assert "a, b" in message


def test_time_runs_fastest_whatever_the_order_of_the_dimensions() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    whole = xr.Dataset({"observations": (("system", "place", "time"), values)})
    for order in (("system", "place", "time"), ("time", "system", "place")):
        table = read_file(netcdf(whole.transpose(*order)))
        np.testing.assert_array_equal(table.values, values.reshape(2, 12))
        assert table.time_count == 4


@pytest.mark.parametrize("suffix", FORMATS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_written_is_read_bit_for_bit(suffix: str, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 4)))
    numbers = st.floats(allow_infinity=False, allow_nan=True)
    values = data.draw(arrays.arrays(float, shape, elements=numbers))
    # One of each row and each column is observed.
    values[np.arange(shape[0]), np.arange(shape[0]) % shape[1]] = 1.5
    values[np.arange(shape[1]) % shape[0], np.arange(shape[1])] = -2.5
    # Said, since any first line may happen to look like places.
    header = False if suffix == "csv" else None
    table = read_file(stored(values, suffix), missing="mask", header=header)
    np.testing.assert_array_equal(table.values, values)


# --- missing values -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_missing_value_is_refused_with_row_column_and_key(suffix: str) -> None:
    values = VALUES.copy()
    values[4, 1] = values[5, 2] = np.nan
    message = fault(stored(values, suffix))
    place = "line 5, column 2" if suffix == "csv" else "row 5, column 2 of 'observations'"
    assert f"{place} is missing (the first of 2 such values)" in message
    assert "'observations.missing: mask'" in message
    values[5, 2] = 0.0
    alone = fault(stored(values, suffix))
    assert f"{place} is missing. " in alone


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_missing_value_is_kept_where_it_is_to_be_masked(suffix: str) -> None:
    values = VALUES.copy()
    values[4, 1] = values[5, 2] = np.nan
    np.testing.assert_array_equal(read_file(stored(values, suffix), missing="mask").values, values)


@pytest.mark.parametrize("cell", ["", " ", "NA", "NaN", "nan", "na", '""'])
@pytest.mark.parametrize("header", ["", "a,b,c\n"])
def test_cells_that_count_as_missing(cell: str, header: str) -> None:
    path = write(f"{header}1,2,3\n4,{cell},6\n7,8,9\n")
    values = read_file(path, missing="mask").values
    np.testing.assert_array_equal(values, [[1, 2, 3], [4, math.nan, 6], [7, 8, 9]])
    name = " (b)" if header else ""
    assert f"line {2 + header.count(chr(10))}, column 2{name} is missing" in fault(path)


@pytest.mark.parametrize("missing", ["refuse", "mask"])
@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("inf", "is infinite"),
        ("-Infinity", "is infinite"),
        ("n/a", "is 'n/a', not a number"),
        ("missing", "is 'missing', not a number"),
        ("0.1.2", "is '0.1.2', not a number"),
    ],
)
@pytest.mark.parametrize("header", ["", "a,b,c\n", "\n"])
def test_text_and_infinity_are_never_missing(
    cell: str, words: str, header: str, missing: str
) -> None:
    path = write(f"{header}1,2,3\n4,{cell},6\n7,8,9\n1,1,1\n")
    line = 2 + header.count("\n")
    name = " (b)" if "b" in header and "infinite" in words else ""
    assert f"line {line}, column 2{name} {words}" in fault(path, missing=missing)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_infinity_in_gridded_files(suffix: str) -> None:
    values = VALUES.copy()
    values[2, 0] = -np.inf
    message = fault(stored(values, suffix), missing="mask")
    assert "row 3, column 1 of 'observations' is infinite" in message


def test_the_place_of_a_missing_value_of_a_time_series() -> None:
    values = np.ones((4, 2, 5))
    values[3, 1, 2] = np.nan
    path = netcdf(xr.Dataset({"observations": (("system", "place", "time"), values)}))
    assert "row 4, place 2, time 3 of 'observations' is missing" in fault(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_system_or_a_sensor_without_any_observation(suffix: str) -> None:
    empty_row, empty_column = VALUES.copy(), VALUES.copy()
    empty_row[3], empty_column[:, 2] = np.nan, np.nan
    row = fault(stored(empty_row, suffix), missing="mask")
    assert ("line 4" if suffix == "csv" else "row 4") + " holds no observation at all" in row
    table = read_file(stored(empty_column, suffix), missing="mask")
    with pytest.raises(DataError, match=r"column 3.* of any system"):
        check_columns(table)


def test_a_first_line_without_any_observation_is_no_line_of_names() -> None:
    assert "line 1 holds no observation" in fault(write("NA,NA\n1,2\n"), missing="mask")


# --- names and noise scales ---------------------------------------------------------------------


def test_named_columns_of_a_csv_file() -> None:
    path = write("p1,sample,scale,p2\n1,core 7,0.5,2\n3,core 9,2,NA\n5,7,1,6\n")
    table = read_file(path, missing="mask", system_column="sample", noise_scale_column="scale")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, math.nan], [5, 6]])
    np.testing.assert_array_equal(table.noise_scale, [0.5, 2, 1])
    np.testing.assert_array_equal(table.system_ids, ["core 7", "core 9", "7"])
    # Messages count the columns of the file, not those of the observations.
    message = fault(path, system_column="sample", noise_scale_column="scale")
    assert "line 3, column 4 (p2) is missing" in message


def test_a_line_of_names_may_hold_numbers_where_columns_are_named() -> None:
    path = write("scale,0.25,0.5\n1,2,3\n2,4,5\n")
    table = read_file(path, noise_scale_column="scale")
    np.testing.assert_array_equal(table.values, [[2, 3], [4, 5]])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("a,scales,b\n", "the first line names a, scales, b. Did you mean 'scales'?"),
        ("scale,scale,b\n", "2 columns are called 'scale' (observations.noise_scale_column)"),
        ("", "the first line holds no names"),
    ],
)
def test_a_column_that_cannot_be_found(header: str, words: str) -> None:
    message = fault(write(f"{header}1,2,3\n4,5,6\n"), noise_scale_column="scale")
    assert words in message
    assert "observations.noise_scale_column" in message


@pytest.mark.parametrize(
    ("scale", "words"), [("0", "is 0"), ("-1", "is -1"), ("NA", "is missing"), ("inf", "is inf")]
)
def test_a_noise_scale_that_is_not_positive_and_finite(scale: str, words: str) -> None:
    message = fault(write(f"a,s\n1,1\n2,{scale}\n"), noise_scale_column="s", missing="mask")
    assert f"line 3: the noise scale {words}" in message


def test_two_systems_of_one_name() -> None:
    message = fault(write("a,s\n1,x\n2,y\n3,x\n"), system_column="s")
    assert "line 2 and line 4 both belong to system 'x'" in message
    assert "line 3: the system has no name" in fault(write("a,s\n1,x\n2,\n"), system_column="s")


# zarr warns that its text is not in the specification yet.
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_noise_scales_and_names_of_gridded_files(suffix: str) -> None:
    scale = np.linspace(0.5, 2, 6)
    content = dataset().assign(noise_scale=("system", scale))
    content = content.assign_coords(system=[f"s{i}" for i in range(6)])
    if suffix == "zarr":
        content.to_zarr("data/y.zarr", consolidated=False)
    else:
        netcdf(content)
    table = read_file(f"data/y.{suffix}")
    np.testing.assert_array_equal(table.noise_scale, scale)
    np.testing.assert_array_equal(table.system_ids, [f"s{i}" for i in range(6)])


def test_noise_scales_of_the_wrong_length() -> None:
    message = fault(netcdf(dataset().assign(noise_scale=("sensor", np.ones(3)))))
    assert "one number for each of the 6 systems" in message


# --- a first line of numbers ---------------------------------------------------------------------


# Systems whose observations grow, as those of a tank that fills.
GROWING = np.cumsum(np.random.default_rng(1).uniform(0.1, 1.0, size=(60, 6)), axis=1)
WAVES = np.random.default_rng(2).normal(size=(60, 6))


@pytest.mark.parametrize(
    ("first", "values", "trait"),
    [
        ("0.0,0.5,1.0,1.5,2.0,2.5", WAVES, "are spaced evenly"),
        ("0.0,0.5,1.0,1.5,2.0,2.5", GROWING, "are spaced evenly"),
        ("0.5,1,2,4,8,16", GROWING, "are spaced evenly"),
        ("0.1234,0.5681,1.2345,4.4461,8.0012,9.9871", WAVES, "are sorted"),
        ("9.1234,8.5681,3.2345,2.4461,1.0012,0.9871", WAVES, "are sorted"),
        ("0.13,0.58,1.25,0.13,0.58,1.25", WAVES, "repeat"),
        ("0,0,0,1,1,1", WAVES, "are sorted"),
        ("0.5,1,2,5,9,24", GROWING, "have few digits"),
        (",1,2,3,4,5", WAVES, "are spaced evenly"),
    ],
)
def test_a_first_line_that_looks_like_places_or_times(
    first: str, values: np.ndarray, trait: str
) -> None:
    path = write(first + "\n" + text(values))
    message = fault(path, missing="mask")
    assert "line 1 (" in message
    assert f"its numbers {trait}" in message
    assert "'observations.header'" in message
    table = read_file(path, header=True).values
    np.testing.assert_array_equal(table, values)
    table = read_file(path, header=False, missing="mask").values
    np.testing.assert_array_equal(table[1:], values)
    assert survey(Path(path)).header
    assert survey(Path(path)).systems == len(values)


@pytest.mark.parametrize("values", [GROWING, -GROWING, WAVES, WAVES.round(1), np.sign(WAVES)])
def test_systems_are_not_taken_for_places(values: np.ndarray) -> None:
    assert len(read_file(write(text(values))).values) == len(values)


@parameters("width", [1, 3], full=[2, 4, 5, 50])
@parameters("decimals", [0, 2], full=[15])
def test_few_files_without_names_are_asked_about(width: int, decimals: int) -> None:
    # Each of the traits singles out a line by chance in fewer than one of fifty files.
    rng, asked = np.random.default_rng(3), 0
    for _ in range(100):
        values = (3 + rng.normal(size=(60, width))).round(decimals)
        asked += trait_of_places(read_text(Path(write(text(values))))) is not None
    assert asked <= 8


def test_text_in_the_first_line_is_refused_where_it_is_said_to_be_a_system() -> None:
    assert "line 1, column 1 is 'a', not a number" in fault(write("a,b\n1,2\n"), header=False)


# --- files --------------------------------------------------------------------------------------


def test_missing_file_with_the_nearest() -> None:
    write(text(), "data/observations.csv")
    assert "no such file. Did you mean 'data/observations.csv'?" in fault("data/observation.csv")
    assert "Did you mean 'data/observations.csv'?" in fault("data/observations.nc")
    assert "no folder 'dat'" in fault("dat/observations.csv")


def test_lines_of_unequal_length() -> None:
    assert "line 2 has 2 cells" in fault(write("1,2,3\n4,5\n"))
    assert "line 3 has 4 cells" in fault(write("a,b,c\n1,2,3\n4,5,6,7\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "a,b,c\n"])
def test_empty(content: str) -> None:
    assert "no observations" in fault(write(content))


def test_files_that_are_not_what_their_names_say() -> None:
    Path("data/y.csv").write_bytes(b"\xff\xfe\x00\x81")
    assert "not a text file" in fault("data/y.csv")


def test_text_of_another_encoding_is_refused_with_its_line() -> None:
    Path("data/y.csv").write_bytes("a,b\n1,2\n1,µ\n".encode("cp1252"))
    message = fault("data/y.csv")
    assert "line 3" in message
    assert "UTF-8" in message


def test_a_decimal_comma_beside_a_point_is_refused_with_what_to_write() -> None:
    for first in ("a;b\n", "1.5;2\n"):
        message = fault(write(first + "3,5;4.5\n"))
        assert "line 2, column 1 is '3,5', not a number" in message
        assert "with a decimal point: 3.5" in message


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ("site,a\nA1,1\nA2,2\n", "site"),
        ("site,a\n1,1\n2,2\n3,4\n", "site"),
        ("site,a\n0,1\n1,2\n2,4\n", "site"),
        ("a,b\n5,1\n6,2\n7,4\n", None),
        ("a,b\nNA,1\n6,2\n7,4\n", None),
        ("1.5,1\n2.5,2\n", None),
        ("a\n1\n2\n3\n", None),
    ],
)
def test_a_first_column_that_names_the_systems_is_seen(content: str, column: str | None) -> None:
    surveyed = survey(Path(write(content)))
    assert surveyed.system_column == column
    assert surveyed.entries == content.split("\n")[0].count(",") + (column is None)


def test_netcdf_4_is_read() -> None:
    dataset().to_netcdf("data/y.nc", engine="h5netcdf")
    np.testing.assert_array_equal(read_file("data/y.nc").values, VALUES)


@pytest.mark.parametrize("name", ["h5py", "h5netcdf"])
def test_netcdf_4_without_a_package_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset().to_netcdf("data/y.nc", engine="h5netcdf")
    # h5netcdf keeps what it has imported.
    for module in [module for module in sys.modules if module.split(".")[0] in HDF5]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    list_engines.cache_clear()
    message = fault("data/y.nc")
    list_engines.cache_clear()
    assert message.endswith(f"NetCDF-4 files need {name}: python -m pip install 'popinv[netcdf]'")


def test_a_count_of_the_rows_without_a_name_is_not_taken_for_observations() -> None:
    with pytest.raises(DataError, match=r"y\.csv: the first column counts the rows"):
        survey(Path(write("1,0.5\n2,0.7\n3,0.1\n")))
    assert "cannot be read" in fault(write("nonsense", "data/y.nc"))
    with pytest.raises(DataError, match=r"y\.txt: .* .csv, .csv.gz, .parquet, .nc or .zarr"):
        survey(Path(write("1,2\n", "data/y.txt")))
    Path("data/z.csv").mkdir()
    assert "cannot be read" in fault("data/z.csv")


@given(count=st.integers(2, 200), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_the_split_takes_every_system_once(count: int, share: float, seed: int) -> None:
    kept, heldout = heldout_split(count, share, seed)
    assert len(heldout) == round(share * count)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, heldout])), np.arange(count))


@given(count=st.integers(1, 400), share=st.floats(0.05, 0.9), seed=st.integers(0, 5))
def test_every_system_is_learned_from_and_the_last_are_tested(
    count: int, share: float, seed: int
) -> None:
    learned, tested, folds = learned_and_tested(count, share, seed)
    np.testing.assert_array_equal(np.sort(learned), np.arange(count))
    np.testing.assert_array_equal(learned[count - len(tested) :], tested)
    if count < 4:
        assert len(tested) == folds == 0
    elif count < 200:
        assert len(tested) == count
        assert folds == min(5, count)
    else:
        assert len(tested) == round(share * count)
        assert folds == 1
        # The same systems are tested as if they had been left out.
        np.testing.assert_array_equal(tested, heldout_split(count, share, seed)[1])


# --- names above numbers ------------------------------------------------------------------------


def test_places_beside_a_column_of_systems_are_names() -> None:
    numbered = "".join(f"{10 + 3 * i},{line}\n" for i, line in enumerate(text().splitlines()))
    table = read_file(write("id,0,0.25,0.5\n" + numbered), system_column="id")
    assert table.names == ["0", "0.25", "0.5"]
    assert table.columns[1] == "column 3 (0.25)"
    np.testing.assert_array_equal(table.values, VALUES)
    # Text above numbers is no system.
    assert read_file(write("id,0,0.25,0.5\n" + numbered)).values.shape == (6, 4)
    # Text above text may be one, unless the numbers look like places.
    labelled = "".join(f"N{i},{line}\n" for i, line in enumerate(text().splitlines()))
    assert "looks like places or times" in fault(write("id,0,0.25,0.5\n" + labelled))
    assert survey(Path(write("id,0,0.25,0.5\n" + labelled))).names == ("0", "0.25", "0.5")


@pytest.mark.parametrize("head", ["", "p,,q\n"])
def test_names_that_do_not_tell_columns_apart_are_none(head: str) -> None:
    assert read_file(write(head + text())).names is None


def test_two_columns_of_one_name_are_refused() -> None:
    message = fault(write("p,q,p\n" + text()))
    assert "columns 1 and 3 are both called 'p'" in message
    assert "would count twice" in message
    # Of columns that are not observations, nothing is counted.
    rows = "".join(f"{line},f,m\n" for line in text().splitlines())
    table = read_file(write("p,q,r,sex,sex2\n" + rows), ignored_columns=["sex", "sex2"])
    assert table.names == ["p", "q", "r"]


def test_columns_that_are_ignored() -> None:
    rows = "".join(f"{line},f\n" for line in text().splitlines())
    table = read_file(write("p,q,r,sex\n" + rows), ignored_columns=["sex"])
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.names == ["p", "q", "r"]
    message = fault(write("p,q,r,sex\n" + rows), ignored_columns=["sx"])
    assert "there is no column 'sx' (observations.ignored_columns)" in message
    assert "Did you mean 'sex'?" in message


def test_other_formats_are_told_how_to_become_csv() -> None:
    with pytest.raises(DataError, match=r"pandas\.read_feather\('data/y\.feather'\)"):
        survey(Path(write("", "data/y.feather")))
