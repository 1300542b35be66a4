"""Elastic bodies whose amplitude differs from system to system."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.forward.base import DifferentiableModel
from popinv.forward.states import states
from popinv_models.elastodynamics.section import Elastodynamics as Section

pytestmark = pytest.mark.firedrake

BAR = {"kind": "elastodynamics", "elements": 12, "times": 6, "steps": 10}
Z = np.array([[1.0, 0.1], [1.3, 0.2]])
AMPLITUDES = np.array([0.5, 2.5])


@pytest.mark.parametrize("excitation", ["pluck", "load"])
def test_each_system_is_that_of_its_amplitude(excitation):
    keys = {**BAR, "excitation": excitation}
    own = Section(**keys, design=["amplitude"])
    model = own.model(3)
    z = np.column_stack([Z, AMPLITUDES])
    solved = model.solve(z)
    tangents = np.random.default_rng(0).standard_normal((2, *z.shape))
    y, changes = model.jvp(z, tangents)
    cotangents = np.random.default_rng(1).standard_normal(y.shape)
    gradient, whole = model.vjp(z, cotangents), states(own, 3, z, "solve", [0, 1])
    assert isinstance(model, DifferentiableModel)
    for i, amplitude in enumerate(AMPLITUDES):
        section = Section(**keys, amplitude=amplitude)
        alone, at = section.model(3), slice(i, i + 1)
        expected = alone.solve(Z[at]).observations
        np.testing.assert_allclose(solved.observations[at], expected, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(y[at], expected, rtol=1e-11, atol=1e-14)
        along = alone.jvp(Z[at], tangents[:, at, :2])[1]
        np.testing.assert_allclose(changes[:, at], along, rtol=1e-10, atol=1e-13)
        back = alone.vjp(Z[at], cotangents[at])
        np.testing.assert_allclose(gradient[at, :2], back, rtol=1e-10, atol=1e-13)
        drawn = states(section, 3, Z[at], "solve", [0])["displacement"].values
        np.testing.assert_allclose(whole["displacement"].values[at], drawn, rtol=1e-10, atol=1e-14)
    assert not gradient[:, 2].any()


def test_a_row_without_a_solution_keeps_its_reason():
    model = Section(**BAR, design=["amplitude"]).model(3)
    z = np.column_stack([np.vstack([Z, [-1.0, 0.1]]), [np.nan, 1.0, 1.0]])
    solved = model.solve(z)
    assert solved.reason.tolist() == [
        "parameter 'amplitude' is nan",
        "",
        "parameter 'stiffness' is not positive",
    ]
    assert np.isnan(solved.observations).all(axis=1).tolist() == [True, False, True]
