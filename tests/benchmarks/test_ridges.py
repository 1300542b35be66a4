"""Models with ridges, by which answers with few and with more draws are compared."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from benchmarks import measured_rows
from benchmarks.measured_rows import write_rows
from benchmarks.ridges import RIDGES


@pytest.mark.parametrize("name", RIDGES)
def test_signals_are_finite_near_the_medians_and_show_every_parameter(name):
    own = RIDGES[name]
    z = torch.tensor([own.medians] * len(own.medians), dtype=torch.float64)
    base = own.signal(z)
    assert base.shape == (len(z), len(own.at))
    assert bool(torch.isfinite(base).all())
    changed = (own.signal(z * (1 + 0.2 * torch.eye(len(z)))) - base).abs().amax(dim=1)
    assert bool((changed > 0.1 * own.noise).all())


def test_two_compartments_are_those_of_the_matrix_exponential():
    own = RIDGES["compartments"]
    k, out, back, volume = own.medians
    matrix = np.array([[-k - out, back], [out, -back]])
    exact = [10 / volume * expm(matrix * t)[0, 0] for t in own.at]
    z = torch.tensor([own.medians], dtype=torch.float64)
    np.testing.assert_allclose(own.signal(z)[0], exact, rtol=1e-10)


def test_absorption_is_that_of_the_matrix_exponential():
    own = RIDGES["absorption"]
    absorbed, out, dose = own.medians
    # The rate is taken a thousandth smaller, so that equal rates are no quotient of zeros.
    matrix = np.array([[-absorbed, 0], [absorbed, -0.999 * out]])
    exact = [dose * expm(matrix * t)[1, 0] for t in own.at]
    z = torch.tensor([own.medians], dtype=torch.float64)
    np.testing.assert_allclose(own.signal(z)[0], exact, rtol=1e-10)


def test_rows_of_other_models_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(measured_rows, "DATA", tmp_path)
    write_rows("some", [{"name": "a", "x": "1"}, {"name": "b", "x": "2"}])
    write_rows("some", [{"name": "a", "x": "3"}], key="name")
    with (tmp_path / "some.csv").open() as lines:
        rows = [(row["name"], row["x"], bool(row["commit"])) for row in csv.DictReader(lines)]
    assert rows == [("b", "2", True), ("a", "3", True)]
