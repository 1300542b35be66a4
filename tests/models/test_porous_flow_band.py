"""Porous medium flow in two dimensions: narrow bands and wide ones are solved alike."""

from __future__ import annotations

import numpy as np
import pytest
from forward_models import porous_flow

from popinv_models.porous_flow import model

pytestmark = pytest.mark.firedrake


def test_a_wide_band_is_solved_by_lapack_with_the_same_answer(monkeypatch):
    forward = porous_flow([[0.3, 0.4], [0.7, 0.6]], dimension=2, elements=8, modes=3)
    z = 0.5 * np.random.default_rng(5).standard_normal((4, len(forward.parameters)))
    z[1, 0] = 800.0
    narrow = forward.solve(z)
    monkeypatch.setattr(model, "_WIDEST_BAND", 3)
    # The package's own factorisation is then not asked.
    monkeypatch.setattr(model, "solve_banded", None)
    wide = forward.solve(z)
    np.testing.assert_allclose(wide.observations, narrow.observations, rtol=1e-12)
    assert wide.reason.tolist() == narrow.reason.tolist()
    assert wide.failed.tolist() == [False, True, False, False]
    # Nothing is left over from the row before.
    assert np.array_equal(forward.solve(z[3:]).observations, wide.observations[3:])
