"""Advice where there are too few systems for the law that a study asks for."""

from __future__ import annotations

import numpy as np
import pytest
from study_sections import function

from popinv.cli.enough import advice, too_few_systems
from popinv.config.loading import load
from popinv.observation_files.table import ObservationTable


def test_enough_systems_and_observations_need_no_advice():
    assert advice(30, 300, of_law=6, correlations=1, of_noise=1) == []


def test_the_best_possible_errors_are_those_of_known_parameters():
    (line,) = advice(12, 132, of_law=9, correlations=3, of_noise=1)
    assert "12 systems are few for a law of 9 parameters, which needs about 45" in line
    # The spread of sample deviations and correlations of 12 normal pairs.
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((20_000, 12, 2))
    deviations = pairs[:, :, 0].std(axis=1, ddof=1).std()
    centred = pairs - pairs.mean(axis=1, keepdims=True)
    products = (centred[..., 0] * centred[..., 1]).sum(axis=1)
    correlations = products / np.sqrt((centred**2).sum(axis=1).prod(axis=1))
    assert deviations == pytest.approx(0.21, abs=0.01)
    assert correlations.std() == pytest.approx(0.30, abs=0.01)
    assert "at least 21 % for standard deviations and 0.30 for correlations" in line
    assert "leave out some of the 3 correlations" in line


def test_few_observations_of_many_systems():
    (line,) = advice(100, 200, of_law=4, correlations=0, of_noise=55)
    assert "200 observations in all are few for 59 parameters" in line


def test_a_study_is_counted_with_its_correlations():
    observed = {"name": "concentration", "times": [1, 2, 4]}
    forward = function("simulator:solve", "ka", "volume", "clearance", observations=observed)
    start = {name: {"mean": 0, "standard_deviation": 1} for name in forward["parameters"]}
    law = {"kind": "lognormal", "correlations": True, "start": start}
    study = {"forward": forward, "law": law, "observations": {"file": "y.csv"}}
    mine = load({"studies": {"mine": study}}).studies["mine"]
    rows = [f"line {i}" for i in range(20)]
    table = ObservationTable(np.ones((20, 3)), rows, ["a", "b", "c"])
    (line,) = too_few_systems(mine, table)
    assert "20 systems are few for a law of 9 parameters" in line
    simple = {**study, "law": {**law, "correlations": False}}
    (line,) = too_few_systems(load({"studies": {"mine": simple}}).studies["mine"], table)
    assert "law of 6 parameters, which needs about 30" in line
    assert "correlations" not in line
