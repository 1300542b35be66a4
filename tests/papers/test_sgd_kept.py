"""Simulated paths of the test problem that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from popinv_papers.kit.kept import keeping
from popinv_papers.sgd_dynamics import simulation
from popinv_papers.sgd_dynamics.comparisons import run


def paths(landscape: simulation.Landscape) -> simulation.Runs:
    return run(landscape, simulation.GradientNoise("gaussian"), 0.1, 0.0, 20, 1, "x", (-0.7, 0.7))


def test_kept_paths_are_those_of_the_same_landscape(tmp_path: Path) -> None:
    with keeping(tmp_path, {}, seconds=0) as reused:
        first = paths(simulation.double_well())
        assert not reused
        again = paths(simulation.double_well())
        assert len(reused) == 1
        other = paths(simulation.sharp_maximum(1, 0.5))
        assert len(reused) == 1
    for name, values in vars(first).items():
        np.testing.assert_array_equal(getattr(again, name), values)
        assert getattr(again, name).dtype == values.dtype
    assert not np.array_equal(other.final, first.final)
