"""Elastodynamics: symmetries, an independent solver, failures, reproducibility, the contract."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from forward_models import (
    PLACES,
    bar_or_beam,
    elastodynamics,
    rms,
    solved_elsewhere,
)
from rows_alone import assert_rows_are_alone
from tiers import parameters

from popinv.errors import DataError
from popinv.forward.base import ForwardModel
from popinv_models.finite_elements.firedrake import load_firedrake

pytestmark = pytest.mark.firedrake


@pytest.fixture(scope="module")
def bar():
    return bar_or_beam()


@pytest.fixture(scope="module")
def small_bar():
    return bar_or_beam(elements=20, duration=4.0, times=4, steps=10, field="cosine", modes=3)


@pytest.fixture(scope="module")
def small_beam():
    return bar_or_beam(2, elements=8, times=4, steps=3, field="cosine", modes=2)


def draws(forward, n, seed=0):
    """Return parameters with moderate fields and lognormal damping."""
    z = 0.4 * np.random.default_rng(seed).standard_normal((n, len(forward.parameters)))
    if forward.field is None:
        z[:, 0] = np.exp(z[:, 0])
    z[:, -1] = 0.2 * np.exp(z[:, -1])
    return z


# -- symmetries and another solver ---------------------------------------------------------------


@pytest.mark.parametrize("excitation", ["pluck", "load"])
def test_a_faster_clock_is_a_stiffer_body(excitation):
    # u(x, t; E, a) with time halved, and so all rates doubled, is u(x, t; 4 E, 2 a), step by step.
    slow, fast = (bar_or_beam(excitation=excitation, duration=duration) for duration in (8.0, 4.0))
    z = np.array([[0.7, 0.3]])
    scale = 4.0 if excitation == "load" else 1.0
    np.testing.assert_allclose(
        scale * fast.solve(z * [4.0, 2.0]).observations,
        slow.solve(z).observations,
        rtol=0,
        atol=1e-10,
    )


def test_the_motion_is_proportional_to_its_cause(small_beam):
    twice = bar_or_beam(2, elements=8, times=4, steps=3, field="cosine", modes=2, amplitude=-2.0)
    z = draws(small_beam, 2)
    np.testing.assert_allclose(
        twice.solve(z).observations, -2 * small_beam.solve(z).observations, rtol=1e-13
    )


def test_a_plucked_body_starts_from_its_static_shape():
    # Before the wave from the end arrives, the bar keeps its shape u = amplitude * x.
    forward = elastodynamics([0.1, 0.4], duration=0.05, times=1, steps=50, amplitude=0.5)
    np.testing.assert_allclose(forward.solve([[1.0, 0.0]]).observations[0], [0.05, 0.2], atol=1e-9)


def test_strong_damping_creeps_to_the_static_state():
    # Slowest mode of a u_t = E u_xx: exp(-E (pi / 2)^2 t / a), 2e-6 at the end. The step is too
    # long for the fastest waves, which average acceleration does not damp: they leave 2e-5.
    forward = bar_or_beam(excitation="load", duration=80.0)
    values = forward.solve([[2.0, 30.0]]).observations.reshape(3, -1)
    np.testing.assert_allclose(values[:, -1], PLACES[:, 0] / 2, rtol=2e-4)
    assert (np.diff(values[:, :10], axis=1) > 0).all()


@pytest.mark.full
@parameters("dimension, excitation", [(1, "pluck")], full=[(1, "load"), (2, "pluck"), (2, "load")])
def test_agrees_with_a_loop_of_firedrake_solves(dimension, excitation):
    def source(x, t):
        fd = load_firedrake()
        force = fd.sin(3 * t) * x[0] ** 2
        return force if dimension == 1 else fd.as_vector([force, x[1]])

    forward = bar_or_beam(
        dimension,
        elements=10 if dimension == 1 else 6,
        field="cosine",
        modes=2,
        excitation=excitation,
        stiffness_damping=0.02,
        duration=2.0 if dimension == 1 else 20.0,
        times=3,
        steps=4,
        source=source,
    )
    z = draws(forward, 1)
    fast, reference = forward.solve(z), forward.solve_with_firedrake(z)
    assert not fast.failed.any()
    assert not reference.failed.any(), reference.reason
    difference = rms(fast.observations - reference.observations)
    assert difference < 1e-10 * rms(reference.observations)


@pytest.mark.full
def test_agrees_with_firedrake_where_the_stiffness_varies_strongly(small_bar):
    z = np.array([[0.0, 0.0, 4.0, 0.0, 0.1]])  # from exp(-4) to exp(4)
    fast, reference = small_bar.solve(z), small_bar.solve_with_firedrake(z)
    difference = rms(fast.observations - reference.observations)
    assert difference < 1e-9 * rms(reference.observations)


# -- failed rows ---------------------------------------------------------------------------------


def test_failed_rows_say_why_and_leave_the_others_alone(bar):
    z = draws(bar, 10)
    good = bar.solve(z).observations.copy()
    z[1, 0], z[2, 1], z[3, 0], z[4, 1] = np.nan, np.inf, -1.0, -0.1
    z[5, 0], z[6, 0], z[7, 0], z[8, 0] = 1e308, 1e-310, 1e5, 0.0
    outcome = bar.solve(z)
    assert outcome.failed.tolist() == [False] + [True] * 8 + [False]
    assert np.array_equal(outcome.observations[[0, 9]], good[[0, 9]])
    assert np.isnan(outcome.observations[outcome.failed]).all()
    assert outcome.reason[1] == "parameter 'stiffness' is nan"
    assert outcome.reason[2] == "parameter 'damping' is inf"
    assert outcome.reason[3] == "parameter 'stiffness' is not positive"
    assert outcome.reason[4] == "parameter 'damping' is negative"
    assert "out of range" in outcome.reason[5]
    assert "underflows" in outcome.reason[6]
    assert "too stiff for the time step" in outcome.reason[7]
    assert outcome.reason[8] == "parameter 'stiffness' is not positive"


@pytest.mark.parametrize("dimension", [1, 2])
def test_failed_fields_say_why(dimension, small_bar, small_beam):
    forward = small_bar if dimension == 1 else small_beam
    z = np.zeros((5, len(forward.parameters)))
    z[:, -1] = 0.1
    z[1, 0], z[2, 0], z[3, -1] = 1e3, -1e3, -0.1
    names = [parameter.name for parameter in forward.parameters]
    z[4, names.index("mode_2" if dimension == 1 else "mode_1_0")] = 15.0
    outcome = forward.solve(z)
    assert outcome.failed.tolist() == [False, True, True, True, True]
    assert "overflows" in outcome.reason[1]
    assert "underflows" in outcome.reason[2]
    assert "'damping'" in outcome.reason[3]
    assert "varies too strongly" in outcome.reason[4]
    assert forward.solve_with_firedrake(z[1:4]).reason.tolist() == outcome.reason[1:4].tolist()


def test_what_the_time_step_cannot_follow_is_refused():
    # The estimate of the error against the error that it predicts: of the same size, and a row is
    # refused before its answer is meaningless.
    coarse, fine = bar_or_beam(steps=4), bar_or_beam(steps=64)
    stiffness = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    z = np.column_stack([stiffness, np.full(6, 0.1)])
    outcome, reference = coarse.solve(z), fine.solve(z)
    assert not reference.failed.any()
    assert outcome.failed.tolist() == sorted(outcome.failed.tolist())
    assert outcome.failed[-1]
    kept = ~outcome.failed
    assert kept.sum() >= 3
    for row, exact in zip(outcome.observations[kept], reference.observations[kept], strict=True):
        assert rms(row - exact) < 0.6 * rms(exact)


def test_an_empty_batch_is_an_empty_answer(bar):
    outcome = bar.solve(np.empty((0, 2)))
    assert outcome.observations.shape == (0, 60)
    assert outcome.failed.shape == (0,)


# -- reproducibility -----------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_row_does_not_depend_on_its_batch(dimension, small_bar, small_beam):
    forward = small_bar if dimension == 1 else small_beam
    assert_rows_are_alone(lambda z: forward.solve(z).observations, draws(forward, 24), 1, 5)


def test_another_process_gives_the_same_bits_without_firedrake(small_beam, tmp_path):
    z = draws(small_beam, 4)
    assert len(pickle.dumps((small_beam, z))) < 2e6
    found = solved_elsewhere(small_beam, z, tmp_path, threads=2)
    assert found == small_beam.solve(z).observations.tobytes()


# -- the contract --------------------------------------------------------------------------------


def test_keeps_the_contract(bar, small_beam):
    for forward, names in ((bar, ("x", "t")), (small_beam, ("x", "y", "t"))):
        assert isinstance(forward, ForwardModel)
        observations = forward.observations
        assert tuple(observations.coordinate_names) == names
        assert observations.coordinates.shape == (3 * len(forward.times), len(names))
    assert [p.name for p in bar.parameters] == ["stiffness", "damping"]
    assert [p.name for p in small_beam.parameters][::4] == ["mean", "damping"]
    # Place after place, time fastest, at places of the body itself.
    n = len(small_beam.times)
    places = small_beam.observations.coordinates[:, :2].reshape(3, n, 2)
    np.testing.assert_allclose(places[:, 0], PLACES * [1.0, 0.2])
    np.testing.assert_array_equal(places, places[:, :1].repeat(n, axis=1))
    np.testing.assert_allclose(small_beam.observations.coordinates[:n, 2], [15, 30, 45, 60])


def test_observations_come_in_the_order_of_the_sensors(small_beam):
    other = elastodynamics(
        PLACES[::-1], dimension=2, elements=8, times=4, steps=3, field="cosine", modes=2
    )
    z = draws(small_beam, 2)
    there, here = other.solve(z).observations, small_beam.solve(z).observations
    np.testing.assert_array_equal(there.reshape(2, 3, 4), here.reshape(2, 3, 4)[:, ::-1])


def test_z_of_another_width_is_refused(bar):
    with pytest.raises(DataError, match=r"\(n, 2\)"):
        bar.solve(np.zeros((3, 3)))
    with pytest.raises(DataError, match="numbers"):
        bar.solve([["a", "b"]])
