"""Softmax regression, bounds with its contraction, and its accuracy at equal epsilon."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_instance_bounds import COUNT, START, chains
from test_instance_bounds import RATE as CHAIN_RATE

from popinv.methods import privacy
from popinv.methods.certificate.accountant import Setting
from popinv_papers.instance_unlearning import equal_epsilon
from popinv_papers.instance_unlearning.bounds import convex_bound, epsilon_of
from popinv_papers.instance_unlearning.chains import normal_divergence, replacement_loss
from popinv_papers.instance_unlearning.equal_epsilon import (
    BOUNDS,
    EPSILONS,
    Convex,
    Curves,
    StackedRegressions,
    coupled_noise,
    epsilons_of,
    features,
    gains,
    gains_of_other_draws,
    smallest_level,
)
from popinv_papers.instance_unlearning.recipe import SIZES, datasets
from popinv_papers.instance_unlearning.training import Data
from popinv_papers.kit.images import ImageSet

N, STRONG, RATE = 12, 0.1, 0.7


def smoothness(strong: float) -> float:
    """Return L, given m: the covariance of a one-hot label is at most 1/2."""
    return strong + 0.5


def regression(sigma: tuple[float, ...] = (0.0, 0.0)) -> tuple[StackedRegressions, torch.Tensor]:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((N, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    model = StackedRegressions(
        torch.from_numpy(rows).float(), torch.from_numpy(rng.integers(3, size=N)), 3, STRONG, RATE,
        torch.tensor(sigma),
    )  # fmt: skip
    return model, torch.from_numpy(rng.standard_normal((5, len(sigma), 3))).float()


def loss_of(model: StackedRegressions, own: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    errors = torch.nn.functional.cross_entropy(model.rows @ own, model.labels, reduction="none")
    return (kept * errors).sum() / N + STRONG / 2 * own.square().sum()


def test_a_step_follows_the_gradient_of_the_points_that_are_kept():
    model, weights = regression()
    kept = torch.ones(N, 2)
    kept[4, 1] = 0
    moved = model.step(weights, kept, np.random.default_rng(0))
    for i in range(2):
        own = weights[:, i].clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(loss_of(model, own, kept[:, i]), own)
        torch.testing.assert_close(moved[:, i], (own - RATE * slope).detach())
    torch.testing.assert_close(
        model.step(weights, None, np.random.default_rng(0))[:, 0], moved[:, 0]
    )


def test_noise_of_a_regression_is_that_of_langevin():
    model, weights = regression((0.0, 0.4))
    draws = [
        model.step(weights, None, np.random.default_rng(i))[:, 1] for i in range(400)
    ]  # fmt: skip
    assert float(torch.stack(draws).std(dim=0).mean()) == pytest.approx(
        math.sqrt(2 * RATE) * 0.4, rel=0.05
    )
    still = model.step(weights, None, np.random.default_rng(1))[:, 0]
    torch.testing.assert_close(still, model.step(weights, None, np.random.default_rng(2))[:, 0])


def test_the_length_of_an_error_is_that_of_the_points_gradient():
    model, weights = regression()
    lengths = model.errors(weights).norm(dim=2)
    for row in range(N):
        own = weights[:, 1].clone().requires_grad_(True)
        one = torch.nn.functional.cross_entropy(
            model.rows[row : row + 1] @ own, model.labels[row : row + 1]
        )
        (slope,) = torch.autograd.grad(one, own)
        assert float(lengths[row, 1]) == pytest.approx(float(slope.norm()), rel=1e-4)
    # A point that is surely wrong has the largest gradient.
    wrong = torch.zeros(5, 2, 3)
    wrong[:, :, 0] = 1000 * model.rows[model.labels == 1][0][:, None]
    largest = float(model.errors(wrong).norm(dim=2).max())
    assert largest == pytest.approx(equal_epsilon.LIPSCHITZ, rel=1e-5)


def test_no_curvature_is_above_the_smoothness():
    model, weights = regression()
    for scale in (0.0, 1.0, 20.0):
        own = scale * weights[:, 0]
        curvature = torch.autograd.functional.hessian(
            lambda w: loss_of(model, w.reshape(5, 3), torch.ones(N)), own.flatten()
        )
        values = torch.linalg.eigvalsh(curvature)
        assert float(values.min()) >= STRONG - 1e-5
        assert float(values.max()) <= smoothness(STRONG)
    # It is attained by a point between two classes.
    two = StackedRegressions(
        torch.tensor([[1.0]]), torch.tensor([0]), 2, STRONG, RATE, torch.zeros(1)
    )
    p = two.errors(torch.zeros(1, 1, 2))[0, 0] + torch.tensor([1.0, 0.0])
    covariance = torch.diag(p) - p[:, None] * p
    assert float(torch.linalg.eigvalsh(covariance).max()) + STRONG == pytest.approx(
        smoothness(STRONG)
    )


def test_features_have_length_one_and_a_constant():
    rng = np.random.default_rng(0)
    data = Data(torch.from_numpy(rng.random((6, 1, 3, 3))).float(), torch.zeros(6, dtype=int))
    rows = features(data, data.images.mean(dim=0))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(rows[:, -1], rows[:1, -1].expand(6))
    assert rows.shape == (6, 10)


@given(
    point=st.floats(-8, 8), trained=st.integers(1, 200), k=st.integers(0, 100),
    order=st.sampled_from([1.5, 2.0, 8.0]),
)  # fmt: skip
def test_the_bound_for_convex_losses_holds_on_normal_chains(point, trained, k, order):
    full, replaced = chains(point)
    loss = replacement_loss(point, COUNT, trained, full, CHAIN_RATE, order)
    bound = convex_bound(np.array(loss), k, order, 1.0, CHAIN_RATE)
    unlearned = replaced.after(k, full.after(trained, START))
    true = normal_divergence(unlearned, replaced.after(trained + k, START), order)
    assert true <= bound + 1e-9


def test_the_bound_for_convex_losses_in_numbers():
    found = convex_bound(np.array([3.0, 6.0]), np.array([0, 10]), 4, 0.5, 0.2)
    np.testing.assert_allclose(found, [3.0, 6.0 * math.exp(-0.5 * 0.2 * 10 / 4)])


def test_epsilon_has_its_closed_form_where_divergences_are_proportional_to_the_order():
    orders = np.linspace(1.01, 60, 20_000)
    found = epsilon_of(np.multiply.outer(orders, [0.02, 0.3]), orders, 1e-3)
    expected = [privacy.epsilon(a, 1e-3) for a in (0.02, 0.3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_lowest_level_suffices_with_all_above_it():
    epsilons = np.array([[0.5, 9.0], [3.0, 2.0], [0.8, 1.0], [0.1, 0.2]])
    np.testing.assert_array_equal(smallest_level(epsilons, 1.0), [2, 2])
    np.testing.assert_array_equal(smallest_level(epsilons, 3.0), [0, 1])
    with pytest.raises(ValueError, match="highest level of noise gives epsilon"):
        smallest_level(epsilons, 0.15)


SMALL = Convex(points=100, steps=40, lowest=0.05, highest=0.5, levels=2, strong=0.05, rate=1.5)


def test_epsilons_are_those_of_a_constant_gradient():
    g, tuned = 0.6, np.array([0, 300])
    norms = np.full((2, 2, 2, 1), g)
    found = epsilons_of(norms, np.array([25, 15]), tuned, SMALL)[:, :, 0]
    orders = np.linspace(1.01, 100, 20_000)
    for level, sigma in enumerate(SMALL.sigmas):
        # T alpha eta g^2 / (4 sigma^2 n^2), contracted
        loss = 40 * orders * SMALL.rate * g**2 / (4 * sigma**2 * SMALL.points**2)
        for j, k in enumerate(tuned):
            shrunk = loss * np.exp(-SMALL.strong * SMALL.rate * k / orders)
            least = (shrunk + math.log(SMALL.points) / (orders - 1)).min()
            # Composition raises the order of early steps, and orders are few.
            assert least <= found[level, j] <= 1.2 * least
    more = epsilons_of(2 * norms, np.array([25, 15]), tuned, SMALL)[:, :, 0]
    assert np.all(more > found)


def test_noise_by_coupling_hides_the_gap_of_two_trainings():
    noise = coupled_noise(1.0, np.array([0, 1, 7]), SMALL)
    assert noise[0] == math.inf
    shrink = 1 - SMALL.strong * SMALL.rate
    # Each step parts two coupled trainings by at most eta sqrt(2) / n.
    gap = SMALL.rate * math.sqrt(2) / 100 * sum(shrink**t for t in range(40))
    for sigma, k in zip(noise[1:], (1, 7), strict=True):
        # The best division of the gap among k steps, each with noise of variance 2 eta sigma^2.
        shares = shrink ** -np.arange(1, k + 1)
        a = (gap / np.linalg.norm(shares)) ** 2 / (4 * SMALL.rate * sigma**2)
        assert privacy.epsilon(a, 0.01) == pytest.approx(1.0, rel=1e-6)


def test_noise_by_coupling_is_that_of_the_accountant_of_certified_unlearning():
    for convex_size in (SMALL, Convex()):
        n, strong = convex_size.points, convex_size.strong
        setting = Setting(
            n, n, convex_size.rate, strong, smoothness(strong), math.sqrt(2), emptied=True
        )
        gap = setting.gap(epochs=convex_size.steps)
        steps = np.array([1, 2, 25, 400])
        for epsilon in EPSILONS:
            expected = [
                setting.sigma_for(epsilon, convex_size.delta, gap, k, "tight")
                for k in steps.tolist()
            ]
            found = coupled_noise(epsilon, steps, convex_size)
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def made_curves() -> Curves:
    """Return curves of two draws and two paths: own 0.8, uniform 0.7 and 0.6, coupled 0.9."""
    at = np.array([0, 1, 2])
    shape = (2, 2, len(BOUNDS), len(EPSILONS), 3)
    accuracy, noise = np.full(shape, 0.8), np.full((2, *shape[2:]), 0.1)
    accuracy[:, 0, BOUNDS.index("uniform")], accuracy[:, 1, BOUNDS.index("uniform")] = 0.7, 0.6
    accuracy[:, :, BOUNDS.index("coupled")] = [np.nan, 0.9, 0.9]
    noise[:, BOUNDS.index("coupled")] = [np.nan, 0.2, 0.05]
    return Curves(at, noise, accuracy, np.zeros(2), np.zeros((2, 3)))


def test_gains_are_over_the_rival_that_asks_for_less_noise():
    curves = made_curves()
    np.testing.assert_allclose(gains(curves, 5.0, "uniform"), 0.15)
    # Coupling is better after the second step alone.
    np.testing.assert_allclose(gains(curves, 5.0, "best"), (0.15 + 0.15 - 0.1) / 3)
    np.testing.assert_allclose(gains_of_other_draws(curves, 5.0, "uniform"), 0.1)
    np.testing.assert_allclose(gains_of_other_draws(curves, 5.0, "best"), 0.2 / 3)
    # Steps count, not records.
    late = replace(curves, at=np.array([0, 1, 4]))
    np.testing.assert_allclose(
        gains(late, 1.0, "best"), np.average([0.15, 0.15, -0.1], weights=[1, 3, 1])
    )


def test_pixels_are_averaged_over_squares():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 4, 4), dtype=np.uint8), np.zeros(30, np.uint8)
    size = replace(SIZES["workstation"], points=30, tested=30, pooled=2)
    train, test = datasets(ImageSet(images, labels, images, labels), size, 0)
    assert train.images.shape == test.images.shape == (30, 1, 2, 2)
    means = images.reshape(30, 2, 2, 2, 2).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(
        train.images[:, 0], (means - means.mean()) / means.std(), rtol=1e-4, atol=1e-5
    )
