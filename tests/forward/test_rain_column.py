"""The example solver of a column under rain, against a Fourier series."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "config" / "examples" / "rain_column"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import column
    import make_observations

    yield column, make_observations
    for name in ("column", "make_observations"):
        sys.modules.pop(name, None)


def test_the_cells_are_near_the_series(modules):
    column, made = modules
    rng, times = np.random.default_rng(2), np.array([0.0, 0.5, 3.0, 7.25, 20.0])
    begin = [np.arange(12.0), np.array([1.0, 2.5, 6.0])]
    rain = [rng.gamma(1.0, 8.0, len(each)) for each in begin]
    z = np.array([[0.05, 0.2], [0.08, 0.15]])
    # The padding repeats the last time and the last rain.
    padded = [np.pad(each, (0, 12 - len(each)), mode="edge") for each in (*begin, *rain)]
    inputs = {"time": np.array(padded[:2]), "rain": np.array(padded[2:])}
    found = column.solve(z, times, inputs)
    for i in range(2):
        exact = made.head(*z[i], begin[i], rain[i] / 1000, times)
        np.testing.assert_allclose(found[i], exact, atol=2e-4)
    assert found.max() > 0.05
    # A long constant rain r gives the steady head r x / K at the height x.
    steady = column.solve(
        z[:1], np.array([1000.0]), {"time": np.zeros((1, 1)), "rain": np.full((1, 1), 4.0)}
    )
    assert steady[0, 0] == pytest.approx(0.004 * 0.875 / 0.05, rel=1e-9)


def test_the_files_are_as_they_are_made(modules, monkeypatch, tmp_path):
    _, made = modules
    monkeypatch.setattr(made, "FOLDER", tmp_path)
    made.main()
    for name in ("heads.csv", "rain.csv"):
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), pd.read_csv(FOLDER / name))
