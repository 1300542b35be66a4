"""Files of observations against the configuration that names them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from flow_study import STUDY

from popinv.config.data_files import check_data_files, check_observation_file
from popinv.config.loading import load
from popinv.config.observations import FileObservations
from popinv.errors import DataError
from popinv.forward.base import ForwardModel, Observations, Parameter
from popinv.forward.section import ForwardSection
from popinv.observation_files.fit import read_fitting

VALUES = np.random.default_rng(0).normal(size=(6, 3))


class Sensed(ForwardSection):
    """A forward model of so many places and times."""

    kind: str = "sensed"
    places: int = 3
    times: int | None = None

    def parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("a"),)

    def observed(self, seed: int) -> Observations:
        pairs = itertools.product(range(self.places), range(self.times or 1))
        coordinates = np.array(list(pairs), dtype=float)
        if self.times is None:
            return Observations(coordinates[:, :1], ("x",), "y")
        return Observations(coordinates, ("x", "t"), "y")

    def model(self, seed: int) -> ForwardModel:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("data").mkdir()


def text(values: np.ndarray = VALUES) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())


def write(content: str, name: str = "data/y.csv") -> str:
    Path(name).write_text(content)
    return name


def fault(path: str, **forward: Any) -> str:
    with pytest.raises(DataError) as caught:
        check_observation_file(FileObservations(file=path), Sensed(**forward))
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_file_that_fits() -> None:
    table = check_observation_file(FileObservations(file=write(text())), Sensed())
    np.testing.assert_array_equal(table.values, VALUES)


def test_wrong_width() -> None:
    message = fault(write(text()), places=5)
    assert "has 3 columns of observations, but the study has 5 sensors" in message
    assert "5 sensors at 4 times" in fault(write(text()), places=5, times=4)


def test_wrong_width_with_a_guess() -> None:
    numbered = np.column_stack([np.arange(6), VALUES])
    message = fault(write(text(numbered)))
    assert "first column counts the rows" in message
    assert "observations.system_column" in message
    assert "looks transposed" in fault(write(text(VALUES)), places=6)


def test_too_few_rows() -> None:
    assert "2 systems" in fault(write("1,2,3\n4,5,6\n"))


def test_the_time_axis_of_a_file_is_that_of_the_forward_model() -> None:
    # 3 places and 2 times are as many columns as 2 places and 3 times.
    values = np.random.default_rng(1).normal(size=(6, 3, 2))
    series = xr.Dataset({"observations": (("system", "place", "time"), values)})
    series.to_netcdf("data/y.nc", engine="scipy")
    table = check_observation_file(FileObservations(file="data/y.nc"), Sensed(times=2))
    np.testing.assert_array_equal(table.values, values.reshape(6, 6))
    assert "of length 2, but the forward model has 3 times" in fault("data/y.nc", places=2, times=3)
    assert "of length 2, but the forward model has no time" in fault("data/y.nc", places=6)


def config(
    file: str,
    descent: dict[str, Any] | None = None,
    downstream: dict[str, Any] | None = None,
    **observations: Any,
) -> Any:
    study = {
        "forward": STUDY["forward"],
        "observations": {"file": file, "heldout_fraction": 0.4, **observations},
        "descent": descent or {},
        "downstream": downstream or {},
    }
    return load({"studies": {"mine": study}})


def test_files_of_a_configuration() -> None:
    check_data_files(config(write(text())))
    with pytest.raises(DataError, match=r"studies\.mine\.observations\.file: data/z\.csv"):
        check_data_files(config("data/z.csv"))
    with pytest.raises(DataError, match=r"descent\.batch_size: got 7, but data/y\.csv leaves 6"):
        check_data_files(config(write(text()), {"batch_size": 7}))


def test_missing_values_of_a_configuration() -> None:
    values = VALUES.copy()
    values[1, 2] = np.nan
    path = write(text(values))
    with pytest.raises(DataError, match=r"line 2, column 3 is missing.*'observations\.missing"):
        check_data_files(config(path))
    check_data_files(config(path, missing="mask"))
    values[1:, 2] = np.nan
    with pytest.raises(DataError, match=r"column 3 is observed in 1 of the 6 systems"):
        check_data_files(config(write(text(values)), missing="mask"))


@pytest.mark.parametrize("gap", [False, True])
def test_a_sensor_that_never_varies_is_refused(gap: bool) -> None:
    values = VALUES.copy()
    values[:, 1] = 0.25
    if gap:
        values[3, 1] = np.nan
    with pytest.raises(
        DataError, match=r"column 2 is 0\.25 in all [56] systems to learn.*leave it"
    ):
        check_data_files(config(write(text(values)), missing="mask"))


def test_a_line_of_times_is_refused_until_it_is_said_what_it_is() -> None:
    path = write("0.0,0.5,1.0\n" + text())
    with pytest.raises(DataError, match=r"line 1 \(0\.0, 0\.5, 1\.0\).*'observations\.header'"):
        check_data_files(config(path))
    for header, count in ((True, 6), (False, 7)):
        complete = config(path, header=header)
        check_data_files(complete)
        study = complete.studies["mine"]
        described = study.forward.observed(seed=1)
        assert len(read_fitting(study.observations, described).values) == count


@pytest.mark.parametrize(
    ("downstream", "message"),
    [
        ({"mwgrad": {"systems": [0, 6]}}, r"mwgrad\.systems: got 6, but the 6 systems"),
        ({"certified_unlearning": {"systems": [0]}}, r"certified_unlearning: .* at least 200"),
    ],
)
def test_methods_that_need_more_systems_than_the_file_has(downstream, message) -> None:
    complete = config(write(text()), downstream=downstream)
    with pytest.raises(DataError, match=r"studies\.mine\.downstream\." + message):
        check_data_files(complete)


def test_a_method_that_gaps_rule_out() -> None:
    values = VALUES.copy()
    values[:2, 2] = np.nan
    asked = {"instance_unlearning": {}}
    check_data_files(config(write(text()), downstream=asked))
    with pytest.raises(DataError, match="instance_unlearning: not for systems with gaps: the"):
        check_data_files(config(write(text(values)), downstream=asked, missing="mask"))


def test_the_job_reads_what_was_checked() -> None:
    lines = "sample,s,a,b,c\n" + "".join(
        f"n{i},{1 + i},{line}\n" for i, line in enumerate(text().splitlines())
    )
    keys = {"system_column": "sample", "noise_scale_column": "s"}
    complete = config(write(lines), **keys)
    check_data_files(complete)
    study = complete.studies["mine"]
    observations = study.forward.observed(seed=1)
    table = read_fitting(study.observations, observations)
    np.testing.assert_array_equal(table.values, VALUES)
    np.testing.assert_array_equal(table.noise_scale, np.arange(1.0, 7.0))
    np.testing.assert_array_equal(table.system_ids, [f"n{i}" for i in range(6)])
