"""A trial ends in a verdict: whether a run would stop, what to look at first, and its time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import ran
from study_sections import function

from popinv.cli.solve_costs import solves_of
from popinv.cli.trial_verdict import verdict
from popinv.config.loading import load
from popinv.config.study import Study
from popinv.errors import SolverError
from popinv.forward.base import Solutions
from popinv.forward.datasets import reason_codes
from popinv.observation_files.table import ObservationTable
from popinv.surrogate.collect import check_failures

ONE = {"mean": 0.0, "standard_deviation": 1.0}


def configured(**sections: Any) -> dict[str, Any]:
    observed = {"count": 3, **sections.pop("observations", {})}
    return {
        "seed": 1,
        "studies": {
            "own": {
                "forward": function("simulator:solve", "a", "b", observations=observed),
                "law": {"kind": "normal", "start": {"a": ONE, "b": ONE}, "spread": 0.3},
                "observations": {"file": "y.csv"},
                **sections,
            }
        },
    }


def study(**sections: Any) -> Study:
    return load(configured(**sections)).studies["own"]


def solved(values: np.ndarray, failed: int = 0) -> Solutions:
    reason = np.array(["diverged"] * failed + [""] * (len(values) - failed), dtype=object)
    return Solutions(np.where((reason == "")[:, None], values, np.nan), reason)


def table(values: np.ndarray) -> ObservationTable:
    return ObservationTable(values, [f"line {i}" for i in range(len(values))], ["a", "b", "c"])


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    np.savetxt("y.csv", np.random.default_rng(0).normal(size=(40, 3)), delimiter=",")


@pytest.mark.parametrize(("failed", "stops"), [(0, False), (1, False), (2, True), (20, True)])
def test_failures_say_whether_a_run_would_stop(failed: int, stops: bool) -> None:
    solutions = solved(np.arange(60.0).reshape(20, 3), failed)
    lines = verdict(study(), solutions, table(np.ones((5, 3))), 0.001)
    assert ("a run would stop" in lines[-1]) == stops
    if failed:
        assert f"{failed} of 20 solves failed" in " ".join(lines)
        assert "active_learning.failure_budget" in " ".join(lines)
    # It is the rule of a run.
    import xarray as xr

    rows = xr.Dataset({"reason": reason_codes(solutions.reason)})
    try:
        check_failures(rows, study().active_learning.failure_budget)
    except SolverError:
        assert stops
    else:
        assert not stops


@pytest.mark.parametrize(
    ("largest", "far"), [(9.35, False), (800.0, False), (12_800.0, True), (0.05, True)]
)
def test_ranges_that_differ_a_hundredfold_are_called_so(largest: float, far: bool) -> None:
    data = table(np.linspace(0.4, 9.35, 15).reshape(5, 3))
    lines = verdict(study(), solved(np.linspace(7.4e-8, largest, 24).reshape(8, 3)), data, 0.001)
    told = " ".join(lines)
    assert ("the ranges differ by more than a factor of 100" in told) == far
    assert lines[-1].startswith("verdict: look at" if far else "verdict: it can run")
    if far:
        assert "of the data 9.35" in told
        assert f"simulator is {largest:,.3g}" in told


def test_logarithms_are_compared_as_the_quantities_that_they_are_of() -> None:
    logs = study(observations={"logarithm": True})
    near = table(np.log(np.linspace(0.4, 9.35, 15)).reshape(5, 3))
    far = solved(np.log(np.linspace(1.0, 12_800, 24)).reshape(8, 3))
    assert "12,800" in verdict(logs, far, near, 0.001)[0].replace("1.28e+04", "12,800")
    assert "verdict: it can run" in verdict(logs, solved(near.values), near, 0.001)[-1]


def test_the_time_of_the_whole_study_follows_the_solve() -> None:
    def hours(seconds: float) -> str:
        return verdict(study(), solved(np.arange(24.0).reshape(8, 3)), None, seconds)[-1]

    assert "the whole study takes at most about" in hours(0.001)
    slow = re.search(r"about ([\d.,]+) h", hours(60.0))
    solves = sum(count for count, _ in solves_of(study()))
    told = f"of which its {solves:,} solves take {solves / 60:.0f} h"
    assert told in hours(60.0)
    assert float(slow[1].replace(",", "")) >= float(f"{solves / 60:.2g}")


def test_a_trial_prints_it_last() -> None:
    Path("simulator.py").write_text("def solve(z):\n    return 1e6 + z[:, [0, 1, 0]]\n")
    Path("mine.yaml").write_text(yaml.safe_dump(configured()))
    done = ran("try", "mine.yaml")
    assert done.splitlines()[-1].startswith("  verdict: look at the ranges first")


def test_a_simulator_that_ignores_its_parameters_cannot_run():
    (said,) = verdict(study(), solved(np.ones((8, 3))), None, 0.001)
    assert "nothing can be learned: the 8 systems have other parameters, but all of them" in said
