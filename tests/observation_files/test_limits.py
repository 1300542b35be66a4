"""Values below a limit of quantification, and logarithms, in files of observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from popinv.errors import DataError
from popinv.forward.external.observations import SimulatorObservations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.limits import limits_of
from popinv.observation_files.section import FileObservations

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
    values = read_fitting(section, described).values
    limits = limits_of(section.censored_below, described)
    np.testing.assert_allclose(limits, np.log(0.1))
    np.testing.assert_array_equal(values[1:3, 0], limits[0])
    assert (described.name, described.units) == ("log_c", "1")
    assert "mg/L" in described.long_name


def test_a_value_without_a_logarithm_is_refused(tmp_path: Path):
    section = FileObservations(file=written(tmp_path, ROWS))
    with pytest.raises(DataError, match=r"1 observations are not positive.* of system 3"):
        read_fitting(section, observed(logarithm=True).described())


def test_a_cell_below_a_limit_is_told_how_to_be_written(tmp_path: Path):
    section = FileObservations(file=written(tmp_path, ROWS.replace("0.05", "<0.1")))
    with pytest.raises(DataError, match=r"Write the limit itself, 0\.1, .*censored_below"):
        read_fitting(section, observed().described())
