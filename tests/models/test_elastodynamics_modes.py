"""Bodies of uniform stiffness, solved mode by mode: the same as the march, and its failures."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from forward_models import bar_or_beam
from rows_alone import assert_rows_are_alone

from popinv_models.elastodynamics.section import MOST_MODES, Elastodynamics

pytestmark = pytest.mark.firedrake


def marching(forward):
    """Return the same model, which solves by time steps."""
    other = copy.copy(forward)
    other.modes = None
    return other


def draws(count):
    rng = np.random.default_rng(0)
    return np.exp(0.4 * rng.standard_normal((count, 2))) * [1.0, 0.2]


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("excitation", ["pluck", "load"])
@pytest.mark.parametrize(("steps", "damping"), [(1, 0.0), (24, 0.01), (37, 0.0)])
def test_modes_give_the_answer_of_the_march(dimension, excitation, steps, damping):
    forward = bar_or_beam(
        dimension,
        elements=20 if dimension == 1 else 8,
        excitation=excitation,
        amplitude=0.7,
        times=5,
        duration=2.0 if steps == 1 else 8.0,
        steps=steps,
        stiffness_damping=damping,
    )
    assert forward.modes is not None
    z = draws(6)
    z[0, 1] = 0.0
    answers, expected = (m.solve(z).observations for m in (forward, marching(forward)))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_row_does_not_depend_on_its_batch(dimension):
    forward = bar_or_beam(dimension, elements=9, times=4, steps=6)
    assert_rows_are_alone(lambda z: forward.solve(z).observations, draws(11), 1, 4)


def test_rows_fail_as_they_do_in_the_march():
    forward, z = bar_or_beam(1), draws(9)
    z[1, 0], z[2, 1], z[3, 0], z[4, 1] = np.nan, np.inf, -1.0, -0.1
    z[5, 0], z[6, 0], z[7, 0], z[8, 1] = 1e308, 1e-310, 1e5, 1e308
    outcome, expected = forward.solve(z), marching(forward).solve(z)
    assert outcome.reason.tolist() == expected.reason.tolist()
    assert outcome.failed.tolist() == [False] + [True] * 7 + [expected.failed[8]]


def test_only_uniform_bodies_of_moderate_size_have_modes():
    def section(**keys):
        return Elastodynamics(kind="elastodynamics", **keys)

    assert section(elements=MOST_MODES).has_modes()
    assert not section(elements=MOST_MODES + 1).has_modes()
    assert not section(field="cosine").has_modes()
    # The march costs every step; the modes do not.
    uniform, random = section(), section(field="cosine")
    assert uniform.cost().seconds < random.cost().seconds / 10
    forward = bar_or_beam(1, field="cosine", modes=2, elements=9)
    assert forward.modes is None
