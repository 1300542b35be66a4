"""What is said of the interpolation in time before a study runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_sections import function
from tiers import parameters

from popinv.cli.first_times import interpolated_in_time
from popinv.config.loading import load
from popinv.config.study import Study

Z = np.array([[2.0], [3.0]])
MODULE = """
import numpy as np


def solve(z, times):
    return np.sin(z * times)
"""


def study(**observed: Any) -> Study:
    observations = {"times": [0.05, 1.0, 1.95], "units": "mm", **observed}
    forward = function("waves:solve", "frequency", observations=observations)
    given = {
        "seed": 1,
        "forward": forward,
        "law": {"kind": "normal", "start": {"frequency": {"mean": 2.0, "standard_deviation": 0.5}}},
        "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.01}},
        "observations": {"file": "y.csv"},
    }
    return load({"studies": {"waves": given}}, "test").studies["waves"]


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("waves.py").write_text(MODULE)


def asked(count: int) -> dict[str, float]:
    return {"first": 0.0, "step": 2.0 / (count - 1), "count": count}


@parameters("kind", ["cubic"], full=["linear"])
def test_the_error_is_stated_in_the_units_of_the_observations(kind: str) -> None:
    few = study(simulated_times=asked(21), interpolation=kind)
    told = interpolated_in_time(few, Z)[0]
    stated = re.search(r"between 21 times, with an error of up to about (\S+) mm", told)
    assert stated, told
    fine = np.linspace(0, 2, 500).tolist()
    exact = study(times=fine).forward.model(1).solve(Z).observations
    close = study(times=fine, simulated_times=asked(21), interpolation=kind)
    error = np.abs(close.forward.model(1).solve(Z).observations - exact).max()
    assert 0.4 * error < float(stated[1]) < 4 * error


def test_an_error_beside_the_noise_is_warned_of() -> None:
    coarse = study(simulated_times=asked(7), interpolation="linear")
    assert "more than 0.2 of the noise" in interpolated_in_time(coarse, Z)[1]
    assert len(interpolated_in_time(study(simulated_times=asked(41)), Z)) == 1
    assert interpolated_in_time(study(), Z) == []
