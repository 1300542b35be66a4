"""Sliced Wasserstein distances against closed forms, an independent library, and differences."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from popinv.transport.sliced import (
    directions,
    project,
    projected_wasserstein_squared,
    quantile_plan,
    sliced_wasserstein_squared,
    wasserstein_rows,
)

SIZES = [(40, 40), (40, 25), (25, 40), (30, 60), (1, 7), (7, 1), (1, 1)]
finite = st.floats(-1e3, 1e3, allow_nan=False, allow_subnormal=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260714)


def difference(function, point: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function in every entry."""
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        gradient[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


# --- directions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "dimension"), [(12, 4), (10, 4), (3, 5), (4, 1)])
def test_directions_are_unit_columns(rng, count, dimension):
    theta = directions(rng, count, dimension)
    assert theta.shape == (dimension, count)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=0), 1, rtol=1e-12)


def test_directions_are_orthogonal_within_blocks_and_random_between(rng):
    theta = directions(rng, 10, 4)
    for start in (0, 4, 8):
        block = theta[:, start : min(start + 4, 10)]
        np.testing.assert_allclose(block.T @ block, np.eye(block.shape[1]), atol=1e-12)
    assert not np.allclose(theta[:, :4], theta[:, 4:8])


def test_directions_are_uniform(rng):
    # First, second and fourth moments of one coordinate of a uniform direction: 0, 1/d, 3/d(d+2).
    d = 3
    theta = directions(rng, 60_000, d)
    np.testing.assert_allclose(theta.mean(axis=1), 0, atol=0.01)
    np.testing.assert_allclose(theta @ theta.T / 60_000, np.eye(d) / d, atol=0.01)
    np.testing.assert_allclose((theta**4).mean(axis=1), 3 / (d * (d + 2)), atol=0.01)


def test_directions_follow_from_the_generator():
    first, second = (directions(np.random.default_rng(5), 7, 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("count", "dimension"), [(0, 3), (3, 0), (-1, 2)])
def test_directions_refuse_empty_sets(rng, count, dimension):
    with pytest.raises(ValueError, match="at least 1"):
        directions(rng, count, dimension)


# --- closed forms --------------------------------------------------------------------------------


def test_a_shift_costs_its_square_over_the_dimension(rng):
    # mean_k <m, theta_k>^2 = |m|^2 / d without error on complete orthogonal blocks.
    x, shift = rng.standard_normal((50, 6)), rng.standard_normal(6)
    value, gradient = sliced_wasserstein_squared(x, x + shift, directions(rng, 18, 6))
    assert value == pytest.approx(shift @ shift / 6, rel=1e-12)
    np.testing.assert_allclose(gradient, np.tile(2 * shift / (6 * 50), (50, 1)), rtol=1e-10)


@pytest.mark.parametrize("scale", [0.3, 2.5])
def test_a_scaling_costs_the_second_moment(rng, scale):
    x = rng.standard_normal((50, 4))
    value, _ = sliced_wasserstein_squared(x, scale * x, directions(rng, 8, 4))
    assert value == pytest.approx((scale - 1) ** 2 * np.mean(np.sum(x**2, axis=1)) / 4, rel=1e-12)


def test_one_observation_gives_the_gaussian_misfit(rng):
    # d/2 times the whitened loss of one point against one is |L^{-1}(y - g)|^2 / 2.
    d = 5
    y, g = rng.standard_normal((1, d)), rng.standard_normal((1, d))
    factor = np.tril(rng.standard_normal((d, d))) + 4 * np.eye(d)
    frame = np.linalg.solve(factor.T, directions(rng, 2 * d, d))
    value, _ = sliced_wasserstein_squared(y, g, frame)
    misfit = np.sum(np.linalg.solve(factor, (y - g)[0]) ** 2) / 2
    assert d / 2 * value == pytest.approx(misfit, rel=1e-12)


def test_gaussian_samples_approach_the_gaussian_distance(rng):
    # W_2^2(N(0, 1), N(2, 3^2)) = 2^2 + (3 - 1)^2.
    x, y = rng.standard_normal((1, 200_000)), 2 + 3 * rng.standard_normal((1, 200_000))
    values, _, _ = wasserstein_rows(x, y)
    assert values[0] == pytest.approx(8, rel=0.02)


# --- against another implementation --------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_agrees_with_pot(rng, n, m, dtype):
    x, y = rng.standard_normal((n, 5)), 0.4 + 1.3 * rng.standard_normal((m, 5))
    theta = directions(rng, 23, 5)
    model = torch.tensor(y, requires_grad=True)
    expected = ot.sliced_wasserstein_distance(
        torch.tensor(x), model, projections=torch.tensor(theta), p=2
    ).square()
    expected.backward()
    value, gradient = sliced_wasserstein_squared(
        x.astype(dtype), y.astype(dtype), theta.astype(dtype)
    )
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    assert value == pytest.approx(expected.item(), rel=tolerance)
    np.testing.assert_allclose(
        gradient, model.grad, rtol=tolerance, atol=tolerance * float(model.grad.abs().max())
    )


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 35)])
def test_each_direction_agrees_with_a_linear_programme(rng, n, m):
    data, model = rng.standard_normal((3, n)), rng.standard_normal((3, m))
    values, _, _ = wasserstein_rows(data, model)
    for k in range(3):
        cost = (data[k][:, None] - model[k][None, :]) ** 2
        expected = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost)
        assert values[k] == pytest.approx(expected, rel=1e-9)


# --- properties ----------------------------------------------------------------------------------

samples = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda sizes: st.tuples(
        arrays(np.float64, (sizes[0], 2), elements=finite),
        arrays(np.float64, (sizes[1], 2), elements=finite),
    )
)
FRAME = directions(np.random.default_rng(1), 4, 2)


@settings(max_examples=100, deadline=None)
@given(samples)
def test_is_symmetric_and_not_negative(pair):
    x, y = pair
    forward, backward = (sliced_wasserstein_squared(*p, FRAME)[0] for p in ((x, y), (y, x)))
    assert forward >= 0
    assert forward == pytest.approx(backward, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(samples, st.integers(2, 4))
def test_duplicating_a_sample_changes_nothing(pair, copies):
    x, y = pair
    expected, gradient = sliced_wasserstein_squared(x, y, FRAME)
    value, _ = sliced_wasserstein_squared(np.repeat(x, copies, axis=0), y, FRAME)
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    # Both repeated to one common size: unequal sizes reduce to equal ones.
    n, m = len(x), len(y)
    value, copied = sliced_wasserstein_squared(
        np.repeat(x, m, axis=0), np.repeat(y, n, axis=0), FRAME
    )
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    if len(np.unique(project(y, FRAME), axis=1).T) == m:
        np.testing.assert_allclose(
            copied.reshape(m, n, 2).sum(axis=1), gradient, rtol=1e-9, atol=1e-8
        )


@settings(max_examples=60, deadline=None)
@given(samples, st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_points(pair, random):
    x, y = pair
    shuffled = np.array(random.sample(range(len(y)), len(y)))
    expected, _ = sliced_wasserstein_squared(x, y, FRAME)
    value, _ = sliced_wasserstein_squared(x[::-1], y[shuffled], FRAME)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_gradient_follows_the_order_of_points(rng):
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((20, 3))
    theta, shuffled = directions(rng, 9, 3), rng.permutation(20)
    _, gradient = sliced_wasserstein_squared(x, y, theta)
    _, moved = sliced_wasserstein_squared(x, y[shuffled], theta)
    np.testing.assert_allclose(moved, gradient[shuffled], rtol=1e-12)


def test_is_zero_on_identical_samples(rng):
    x, theta = rng.standard_normal((30, 3)), directions(rng, 9, 3)
    value, gradient = sliced_wasserstein_squared(x, x[rng.permutation(30)], theta)
    assert value == pytest.approx(0, abs=1e-28)
    np.testing.assert_allclose(gradient, 0, atol=1e-15)


def test_turns_with_the_space(rng):
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((20, 4))
    theta, rotation = directions(rng, 9, 4), directions(rng, 4, 4)
    expected, gradient = sliced_wasserstein_squared(x, y, theta)
    value, turned = sliced_wasserstein_squared(x @ rotation, y @ rotation, rotation.T @ theta)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(turned, gradient @ rotation, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_quantile_plan_moves_all_mass_in_order(n, m):
    source, target, weight = quantile_plan(n, m)
    np.testing.assert_allclose(np.bincount(source, weight, n), 1 / n, rtol=1e-12)
    np.testing.assert_allclose(np.bincount(target, weight, m), 1 / m, rtol=1e-12)
    assert (np.diff(source) >= 0).all()
    assert (np.diff(target) >= 0).all()
    assert len(weight) == n + m - np.gcd(n, m)


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_gradient_is_that_of_finite_differences(rng, n, m):
    x, y, theta = rng.standard_normal((n, 3)), rng.standard_normal((m, 3)), directions(rng, 6, 3)
    _, gradient = sliced_wasserstein_squared(x, y, theta)
    expected = difference(lambda z: sliced_wasserstein_squared(x, z, theta)[0], y)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_torch_gradients_of_both_samples(rng, n, m):
    a = torch.tensor(rng.standard_normal((n, 4)), requires_grad=True)
    b = torch.tensor(rng.standard_normal((m, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(projected_wasserstein_squared, (a, b))
    assert torch.autograd.gradcheck(lambda y: projected_wasserstein_squared(a.detach(), y), (b,))
    assert torch.autograd.gradcheck(lambda x: projected_wasserstein_squared(x, b.detach()), (a,))


@pytest.mark.parametrize("attached", [False, True])
def test_whitened_loss_in_the_noise_scale(rng, attached):
    # The loss in log sigma with the metric frozen, and with the metric following.
    y, g, e = (rng.standard_normal((20, 3)) for _ in range(3))
    theta = directions(rng, 6, 3)

    def loss(log_sigma: float, log_metric: float) -> float:
        value, _ = sliced_wasserstein_squared(
            y, g + np.exp(log_sigma) * e, theta / np.exp(log_metric)
        )
        return 1.5 * value

    log_sigma = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    sigma = log_sigma.exp()
    frame = torch.tensor(theta) / (sigma if attached else sigma.detach())
    model = torch.tensor(g) + sigma * torch.tensor(e)
    value = 1.5 * projected_wasserstein_squared(torch.tensor(y) @ frame, model @ frame)
    value.backward()
    step = 1e-6
    up, down = -0.7 + step, -0.7 - step
    frozen = (loss(up, -0.7) - loss(down, -0.7)) / (2 * step)
    full = (loss(up, up) - loss(down, down)) / (2 * step)
    assert value.item() == pytest.approx(loss(-0.7, -0.7), rel=1e-12)
    assert log_sigma.grad.item() == pytest.approx(full if attached else frozen, rel=1e-6)
    assert abs(full - frozen) > 0.1


def test_torch_keeps_single_precision_and_layout(rng):
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((20, 3))
    theta = torch.tensor(directions(rng, 9, 3), dtype=torch.float32)
    a = torch.tensor(x, dtype=torch.float32) @ theta
    results = []
    for view in (False, True):
        model = torch.tensor(y, dtype=torch.float32, requires_grad=True)
        b = (theta.T @ model.T).T if view else model @ theta
        value = projected_wasserstein_squared(a, b)
        value.backward()
        assert value.dtype == model.grad.dtype == torch.float32
        results.append((value.item(), model.grad))
    expected, gradient = sliced_wasserstein_squared(x, y, theta.numpy().astype(float))
    for value, grad in results:
        assert value == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(grad, gradient, atol=1e-6)


def test_torch_scales_with_the_incoming_gradient_and_spares_what_is_not_asked(rng):
    a = torch.tensor(rng.standard_normal((9, 4)))
    b = torch.tensor(rng.standard_normal((9, 4)), requires_grad=True)
    value = projected_wasserstein_squared(a, b)
    (plain,) = torch.autograd.grad(value, b, retain_graph=True)
    (scaled,) = torch.autograd.grad(3.5 * value, b)
    np.testing.assert_allclose(scaled, 3.5 * plain, rtol=1e-14)
    with torch.no_grad():
        assert not projected_wasserstein_squared(a, b).requires_grad
        assert projected_wasserstein_squared(a, b).item() == value.item()


# --- threads, refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(500, 500), (500, 300)])
def test_the_number_of_threads_changes_no_bit(rng, n, m):
    data, model = rng.standard_normal((400, n)), rng.standard_normal((400, m))
    results = [
        wasserstein_rows(data, model, data_gradient=True, threads=threads)
        for threads in (1, 2, 3, 7)
    ]
    for other in results[1:]:
        for expected, array in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_a_row_does_not_depend_on_its_neighbours(rng):
    data, model = rng.standard_normal((100, 900)), rng.standard_normal((100, 900))
    values, _, gradient = wasserstein_rows(data, model)
    some, _, some_gradient = wasserstein_rows(data[37:41], model[37:41])
    np.testing.assert_array_equal(some, values[37:41])
    np.testing.assert_array_equal(some_gradient, gradient[37:41])


def test_what_is_not_a_number_is_passed_on(rng):
    x, y, theta = rng.standard_normal((8, 2)), rng.standard_normal((8, 2)), directions(rng, 4, 2)
    y[3, 1] = np.nan
    assert np.isnan(sliced_wasserstein_squared(x, y, theta)[0])


def test_shapes_and_types_that_do_not_fit_are_refused(rng):
    x, theta = rng.standard_normal((8, 2)), directions(rng, 4, 2)
    with pytest.raises(ValueError, match=r"do not fit: got \(8, 3\) and \(2, 4\)"):
        sliced_wasserstein_squared(x, rng.standard_normal((8, 3)), theta)
    with pytest.raises(ValueError, match="do not fit"):
        sliced_wasserstein_squared(x[:, 0], x, theta)
    with pytest.raises(ValueError, match="at least one direction and one point"):
        sliced_wasserstein_squared(x, x[:0], theta)
    with pytest.raises(ValueError, match="same directions, got 3 and 4"):
        wasserstein_rows(np.zeros((3, 5)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="matrices"):
        wasserstein_rows(np.zeros(5), np.zeros((1, 5)))
    with pytest.raises(ValueError, match="float64 and float32"):
        wasserstein_rows(np.zeros((1, 5)), np.zeros((1, 5), np.float32))
    with pytest.raises(ValueError, match="both float64 or both float32"):
        wasserstein_rows(np.zeros((1, 5), int), np.zeros((1, 5), int))
    with pytest.raises(ValueError, match="matrices"):
        projected_wasserstein_squared(torch.zeros(5), torch.zeros(5, 1))


def test_projections_on_another_device_are_refused():
    here, there = torch.ones(3, 2), torch.ones(3, 2, device="meta")
    for a, b in ((here, there), (there, here), (there, there)):
        with pytest.raises(ValueError, match=f"on the CPU, got {a.device} and {b.device}"):
            projected_wasserstein_squared(a, b)
