"""Renyi losses against closed forms, and the bound on fine-tuning steps against exact laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popinv_papers.instance_unlearning import bounds, renyi
from popinv_papers.instance_unlearning.chains import (
    AffineChain,
    Normal,
    exact_steps,
    normal_divergence,
    removal_loss,
    replacement_loss,
)

START = Normal(0.0, 1e-12)


def test_known_steps():
    divergence = renyi.poisson_step(np.array([1.0, 0.1, 0.01]), 256 / 60_000, 1.0, 8)
    np.testing.assert_allclose(divergence, [1.3519e-4, 7.3202e-7, 7.2822e-9], rtol=1e-4)
    # With few points in a batch: alpha/2 q^2 (exp(g^2/s^2) - 1).
    limit = 4 * (256 / 60_000) ** 2 * np.expm1([1.0, 1e-2, 1e-4])
    np.testing.assert_allclose(divergence, limit, rtol=0.1)
    np.testing.assert_allclose(divergence[2], limit[2], rtol=1e-4)


@given(
    norm=st.floats(0.0, 5.0), more=st.floats(0.01, 2.0), share=st.floats(1e-4, 0.9),
    order=st.integers(2, 12),
)  # fmt: skip
def test_a_step_grows_with_norm_order_and_share(norm, more, share, order):
    def step(norm=norm, share=share, order=order):
        return float(renyi.poisson_step(np.array(norm), share, 1.3, order))

    assert step() >= 0
    assert step(norm=norm + more) > step()
    assert step(order=order + 1) >= step() * (1 - 1e-9)
    assert step() <= float(renyi.gaussian_step(norm, 1.3, order)) * (1 + 1e-9)


@pytest.mark.parametrize("norm", [1e-6, 0.3, 40.0])
def test_neither_small_nor_large_steps_lose_digits(norm):
    q, s, order = 0.01, 1.0, 3
    # (1/2) log((1-q)^3 + 3 (1-q)^2 q + 3 (1-q) q^2 exp(g^2) + q^3 exp(3 g^2))
    if norm < 1:
        expected = np.log1p(3 * (1 - q) * q**2 * np.expm1(norm**2) + q**3 * np.expm1(3 * norm**2))
    else:
        expected = 3 * math.log(q) + 3 * norm**2
    divergence = float(renyi.poisson_step(np.array(norm), q, s, order))
    assert divergence == pytest.approx(expected / 2, rel=1e-9)


@pytest.mark.parametrize(("order", "share", "noise"), [(1, 0.1, 1), (2.5, 0.1, 1), (2, 0, 1),
                                                       (2, 1.5, 1), (2, 0.1, 0)])  # fmt: skip
def test_steps_out_of_range_are_refused(order, share, noise):
    with pytest.raises(ValueError, match="must"):
        renyi.poisson_step(np.array(1.0), share, noise, order)


def test_hoelder_orders_follow_their_recursion():
    orders = renyi.hoelder_orders(8, 3 * 9300.0, 9301)
    assert orders[-1] == pytest.approx(10.7694, abs=1e-4)
    p = 30.0
    short = renyi.hoelder_orders(4, p, 5)
    np.testing.assert_allclose(short[1:], short[:-1] * p / (p - 1) - 1 / (p - 1))
    with pytest.raises(ValueError, match="exceed 1"):
        renyi.hoelder_orders(8, 1.0, 3)


def test_a_loss_is_the_sum_of_its_steps_where_gradients_are_small():
    norms = np.array([[[0.01, 0.02, 0.0], [0.02, 0.01, 0.0]]])
    steps = np.array([30, 10])
    # With so large an exponent every step has the same order.
    losses = renyi.instance_loss(norms, steps, 0.1, 1.0, order=8, exponent=1e12)
    expected = 30 * renyi.poisson_step(norms[0, 0], 0.1, 1.0, 8)
    expected = expected + 10 * renyi.poisson_step(norms[0, 1], 0.1, 1.0, 8)
    np.testing.assert_allclose(losses, expected)
    # A finite exponent takes earlier steps at higher orders.
    assert np.all(renyi.instance_loss(norms, steps, 0.1, 1.0)[:2] > losses[:2])


def test_a_loss_is_composed_as_the_formula_says():
    rng = np.random.default_rng(0)
    norms, steps = rng.random((3, 2, 4)), np.array([2, 3])
    p, order = 12.0, 3
    orders = renyi.hoelder_orders(order, p, 5)
    moments = []
    for i, record in enumerate((1, 1, 1, 0, 0)):
        step = renyi.poisson_step(norms[:, record], 0.2, 1.5, math.ceil(orders[i]))
        moments.append(np.log(np.mean(np.exp(p * (orders[i] - 1) * step), axis=0)))
    expected = renyi.composed_loss(np.array(moments), order, p)
    np.testing.assert_allclose(renyi.instance_loss(norms, steps, 0.2, 1.5, order, p), expected)
    by_hand = sum((p - 1) ** i / p ** (i + 1) * moments[i] for i in range(5)) / (order - 1)
    np.testing.assert_allclose(expected, by_hand)


@pytest.mark.full
@given(st.floats(0.1, 3.0), st.floats(1.01, 3.0))
def test_a_loss_grows_with_gradients_and_stays_below_the_worst_case(scale, factor):
    norms = scale * np.array([[[0.2, 0.5, 1.0]], [[0.3, 0.4, 1.0]]])
    steps = np.array([20])
    loss = renyi.instance_loss(norms, steps, 0.1, 2.0)
    assert np.all(renyi.instance_loss(factor * norms, steps, 0.1, 2.0) > loss)
    worst = renyi.instance_loss(np.full((1, 1, 1), scale), steps, 0.1, 2.0)
    assert np.all(loss <= worst * (1 + 1e-12))
    assert np.all(renyi.instance_loss(norms, 2 * steps, 0.1, 2.0) > loss)


def test_records_and_steps_must_agree():
    with pytest.raises(ValueError, match="records"):
        renyi.instance_loss(np.ones((1, 3, 2)), np.array([1, 2]), 0.1, 1.0)


def test_langevin_noise_on_the_sum():
    eta, sigma, n, g = 0.1, 0.3, 50, 5.0
    # alpha eta g^2 / (4 sigma^2 n^2)
    expected = 8 * eta * g**2 / (4 * sigma**2 * n**2)
    assert float(renyi.gaussian_step(g, renyi.sum_noise(eta, sigma, n), 8)) == pytest.approx(
        expected
    )


COUNT, RATE, SIGMA = 50, 0.1, 0.3


def points_with(first: float) -> np.ndarray:
    points = np.random.default_rng(0).standard_normal(COUNT)
    points[0] = first
    return points


def chain_of(points: np.ndarray) -> AffineChain:
    return AffineChain.of(points, COUNT, RATE, SIGMA)


def chains(first: float = 5.0) -> tuple[AffineChain, AffineChain]:
    """Return the chains of all points and of those without the first, which zero replaces."""
    return chain_of(points_with(first)), chain_of(points_with(0.0))


def test_laws_of_a_chain_are_those_of_its_paths():
    chain, start = chains()[0], Normal(2.0, 0.5)
    rng = np.random.default_rng(1)
    theta = start.mean + math.sqrt(start.variance) * rng.standard_normal(200_000)
    for _ in range(7):
        theta = chain.factor * theta + chain.shift
        theta += math.sqrt(chain.noise) * rng.standard_normal(len(theta))
    law = chain.after(7, start)
    assert theta.mean() == pytest.approx(law.mean, abs=5e-3)
    assert theta.var() == pytest.approx(law.variance, rel=0.02)
    assert chain.after(10_000, start).variance == pytest.approx(chain.stationary.variance)


def test_divergence_of_normal_laws():
    p, q = Normal(0.3, 0.5), Normal(-0.2, 0.7)
    x = np.linspace(-12, 12, 200_001)

    def density(law):
        return np.exp(-((x - law.mean) ** 2) / (2 * law.variance)) / math.sqrt(
            2 * math.pi * law.variance
        )

    integral = np.sum(density(p) ** 3 * density(q) ** -2) * (x[1] - x[0])
    assert normal_divergence(p, q, 3) == pytest.approx(math.log(integral) / 2, rel=1e-6)
    assert normal_divergence(Normal(0, 1), Normal(0.5, 1), 4) == pytest.approx(4 * 0.25 / 2)
    assert normal_divergence(Normal(0, 2), Normal(0, 1), 3) == math.inf


def test_a_replaced_outlier_in_numbers():
    full, replaced = chains()
    loss = replacement_loss(5.0, 50, 100, full, 0.1, 8)
    assert loss == pytest.approx(2.222, abs=1e-3)
    trained, reference = full.after(100, START), replaced.after(100, START)
    assert normal_divergence(trained, reference, 8) == pytest.approx(0.4222, abs=1e-4)
    for k, bound, true in ((0, 3.889, 0.1056), (50, 1.114, 2.84e-6)):
        divergence = bounds.divergence_bound(loss, bounds.contraction(k, 4, 2 * 0.09, 0.1, 0.3), 2)
        assert divergence == pytest.approx(bound, abs=1e-3)
        law = replaced.after(k, trained)
        assert normal_divergence(law, reference, 2) == pytest.approx(true, rel=1e-2)


@pytest.mark.parametrize("steps", [5, 20, 60])
@pytest.mark.parametrize("point", [0, 3])
@pytest.mark.parametrize("order", [2, 8])
def test_composition_is_above_the_divergence_of_a_removed_point(steps, point, order):
    points = points_with(5.0)
    full, left = chain_of(points), chain_of(np.delete(points, point))
    true = normal_divergence(full.after(steps, START), left.after(steps, START), order)
    bound = removal_loss(points[point], COUNT, steps, full, START, RATE, order)
    assert true <= bound < 10 * true + 0.1
    # A training so long has moments that do not exist.
    assert removal_loss(points[point], COUNT, 1000, full, START, RATE, 8) == math.inf


@given(
    point=st.floats(-8, 8), steps=st.integers(1, 300), k=st.integers(0, 200),
    order=st.sampled_from([1.5, 2.0, 4.0]), start=st.floats(-2, 2),
)  # fmt: skip
def test_the_bound_is_never_violated(point, steps, k, order, start):
    (full, replaced), begin = chains(point), Normal(start, 0.01)
    trained, reference = full.after(steps, begin), replaced.after(steps, begin)
    loss = replacement_loss(point, COUNT, steps, full, RATE, 4 * order)
    end = replaced.stationary
    gap = normal_divergence(reference, end, 4 * order - 1)
    rest = normal_divergence(end, reference, 2 * order - 1)
    constant = 2 * SIGMA**2
    contracted = bounds.contraction(k, 2 * order, constant, RATE, SIGMA)
    bound = bounds.divergence_bound(loss, contracted, order, gap, rest)
    true = normal_divergence(replaced.after(k, trained), reference, order)
    assert true <= bound + 1e-9
    if loss > 0 and math.isfinite(gap):
        enough = bounds.steps_bound(loss, order, 0.01, constant, RATE, SIGMA, gap)
        law = replaced.after(int(enough), trained)
        assert normal_divergence(law, reference, order) <= 0.01 + rest + 1e-9


def test_steps_grow_with_the_logarithm_of_the_loss():
    args = {"order": 2.0, "epsilon": 0.01, "constant": 0.18, "rate": 0.1, "sigma": 0.3}
    few, many = bounds.steps_bound(np.array([1.0, 10.0]), **args)
    assert many - few == pytest.approx(2 * 0.18 / (0.09 * 0.1) * math.log(10), abs=1)
    first, second = bounds.triangle_factors(2.0)
    assert bounds.steps_bound(0.01 / (first * second), **args) == 0
    assert bounds.steps_bound(0.011 / (first * second), **args) > 0
    with pytest.raises(ValueError, match="epsilon"):
        bounds.steps_bound(1.0, 2.0, 0.0, 0.18, 0.1, 0.3)
    with pytest.raises(ValueError, match="order"):
        bounds.triangle_factors(1.0)


def test_exact_steps_are_counted_until_close_enough():
    full, replaced = chains()
    trained, reference = full.after(200, START), replaced.after(200, START)
    k = exact_steps(replaced, trained, reference, 2.0, 1e-3, 500)
    at = [normal_divergence(replaced.after(j, trained), reference, 2.0) for j in (k - 1, k)]
    assert at[1] <= 1e-3 < at[0]
    assert exact_steps(replaced, trained, reference, 2.0, 0.0, 5) == 5
