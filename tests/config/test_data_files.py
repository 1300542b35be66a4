from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from popinv.config.data_files import check_data_files, check_observation_file
from popinv.config.loading import load
from popinv.errors import DataError
from popinv.observations_file import read_observations

VALUES = np.random.default_rng(0).normal(size=(6, 3))


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()


def text(values: np.ndarray = VALUES, separator: str = ",") -> str:
    return "".join(separator.join(map(repr, row)) + "\n" for row in values.tolist())


def write(content: str, name: str = "data/y.csv") -> str:
    Path(name).write_text(content)
    return name


def fault(path: str, width: int = 3) -> str:
    with pytest.raises(DataError) as caught:
        check_observation_file(path, width)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


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
        text().replace(",", " , "),
        text().rstrip("\n"),
    ],
)
def test_csv_is_read(content: str) -> None:
    np.testing.assert_array_equal(check_observation_file(write(content), 3), VALUES)


def test_one_sensor() -> None:
    assert check_observation_file(write("1\n2\n3\n4\n"), 1).shape == (4, 1)


def dataset(values: np.ndarray = VALUES, name: str = "observations") -> xr.Dataset:
    return xr.Dataset({name: (("system", "sensor"), values), "x": ("sensor", np.arange(3.0))})


def test_zarr_and_netcdf_are_read() -> None:
    dataset().to_zarr("data/y.zarr", consolidated=False)
    dataset(name="pressure").to_netcdf("data/y.nc", engine="scipy")
    for path in ("data/y.zarr", "data/y.nc"):
        np.testing.assert_array_equal(check_observation_file(path, 3), VALUES)


def test_observations_go_before_other_tables() -> None:
    both = dataset().assign(truth=(("system", "sensor"), 0 * VALUES))
    both.to_netcdf("data/y.nc", engine="scipy")
    np.testing.assert_array_equal(read_observations("data/y.nc"), VALUES)


def test_several_tables_without_the_name() -> None:
    both = dataset(name="a").assign(b=(("system", "sensor"), VALUES))
    both.to_netcdf("data/y.nc", engine="scipy")
    assert "'observations'" in fault("data/y.nc")
    assert "a, b" in fault("data/y.nc")


def test_nan_in_netcdf() -> None:
    values = VALUES.copy()
    values[4, 1] = np.nan
    dataset(values).to_netcdf("data/y.nc", engine="scipy")
    assert "row 5, column 2 of 'observations' is nan" in fault("data/y.nc")


def test_missing_file_with_the_nearest() -> None:
    write(text(), "data/observations.csv")
    assert "no such file. Did you mean 'data/observations.csv'?" in fault("data/observation.csv")
    assert "Did you mean 'data/observations.csv'?" in fault("data/observations.nc")
    assert "no folder 'dat'" in fault("dat/observations.csv")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("nan", "is nan"),
        ("inf", "is inf"),
        ("", "is empty"),
        ("n/a", "is 'n/a', not a number"),
        ("0.1.2", "is '0.1.2', not a number"),
    ],
)
@pytest.mark.parametrize("header", ["", "a,b,c\n", "\n"])
def test_cell_that_is_no_number(cell: str, words: str, header: str) -> None:
    path = write(f"{header}1,2,3\n4,{cell},6\n7,8,9\n1,1,1\n")
    line = 2 + header.count("\n")
    assert f"line {line}, column 2 {words}" in fault(path)


def test_lines_of_unequal_length() -> None:
    assert "line 2 has 2 columns" in fault(write("1,2,3\n4,5\n"))


def test_wrong_width() -> None:
    assert "has 3 columns, but the study has 5 sensors" in fault(write(text()), 5)


def test_wrong_width_with_a_guess() -> None:
    numbered = np.column_stack([np.arange(6), VALUES])
    assert "first column counts the rows" in fault(write(text(numbered)), 3)
    assert "looks transposed" in fault(write(text(VALUES)), 6)


@pytest.mark.parametrize("content", ["", "\n\n", "a,b,c\n"])
def test_empty(content: str) -> None:
    assert "no observations" in fault(write(content))


def test_too_few_rows() -> None:
    assert "2 rows" in fault(write("1,2,3\n4,5,6\n"))


def test_not_text() -> None:
    Path("data/y.csv").write_bytes(b"\xff\xfe\x00\x81")
    assert "not a text file" in fault("data/y.csv")


def test_not_netcdf() -> None:
    assert "cannot be read" in fault(write("nonsense", "data/y.nc"))


def test_folder_named_csv() -> None:
    Path("data/y.csv").mkdir()
    assert "cannot be read" in fault("data/y.csv")


def config(file: str, heldout_fraction: float = 0.4, **descent: Any) -> Any:
    return load(
        {
            "studies": {
                "mine": {
                    "forward": {
                        "kind": "porous_flow",
                        "sensors": {"positions": [0.2, 0.4, 0.6]},
                    },
                    "observations": {"file": file, "heldout_fraction": heldout_fraction},
                    "descent": descent,
                }
            }
        }
    )


def test_files_of_a_configuration() -> None:
    check_data_files(config(write(text())))
    with pytest.raises(DataError, match=r"studies\.mine\.observations\.file: data/z\.csv"):
        check_data_files(config("data/z.csv"))
    with pytest.raises(DataError, match=r"descent\.batch_size: got 5, but data/y\.csv leaves 4"):
        check_data_files(config(write(text()), batch_size=5))
    with pytest.raises(DataError, match="held-out share"):
        check_data_files(config(write(text()), heldout_fraction=0.1))
