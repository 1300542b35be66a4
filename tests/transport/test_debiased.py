"""The debiased distance against its definition by three distances, and differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.transport.debiased import debiased_rows, projected_debiased_wasserstein
from popinv.transport.sliced import projected_wasserstein_squared

SIZES = [(40, 80), (40, 50), (25, 80), (60, 60), (1, 14), (7, 2), (1, 2)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260725)


def by_three_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    half = len(b) // 2
    first, second = b[:half], b[half : 2 * half]
    cross = projected_wasserstein_squared(a, first) + projected_wasserstein_squared(a, second)
    return (cross - projected_wasserstein_squared(first, second)) / 2


def pair(rng, n, m, dtype=torch.float64):
    a, b = rng.standard_normal((6, n)), 0.3 + 1.2 * rng.standard_normal((6, m))
    return (torch.from_numpy(x).to(dtype).T.requires_grad_(True) for x in (a, b))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_it_is_what_three_distances_make(rng, n, m, dtype):
    a, b = pair(rng, n, m, dtype)
    ours, theirs = projected_debiased_wasserstein(a, b), by_three_distances(a, b)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for mine, other in zip(
        torch.autograd.grad(ours, (a, b)), torch.autograd.grad(theirs, (a, b)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


def test_gradient_is_that_of_finite_differences(rng):
    a, b = pair(rng, 5, 8)
    gradients = torch.autograd.grad(projected_debiased_wasserstein(a, b), (a, b))
    for x, gradient in zip((a, b), gradients, strict=True):
        for index in np.ndindex(x.shape):
            shift = torch.zeros_like(x)
            shift[index] = 1e-6
            up, down = (
                projected_debiased_wasserstein(*(y + s if y is x else y for y in (a, b))).item()
                for s in (shift, -shift)
            )
            assert float(gradient[index]) == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_the_last_of_an_odd_number_has_no_effect(rng):
    a, b = pair(rng, 6, 9)
    value = projected_debiased_wasserstein(a, b)
    (gradient,) = torch.autograd.grad(value, b)
    assert torch.equal(gradient[-1], torch.zeros(6, dtype=torch.float64))
    assert torch.equal(value, projected_debiased_wasserstein(a, b[:8]))


def slope_in_scale(distance, rng) -> float:
    """Return the derivative in a factor on the model, at the truth: 30 data, two samples of 30."""
    a = torch.from_numpy(rng.standard_normal((200, 30)).T)
    b = torch.from_numpy(rng.standard_normal((200, 60)).T).requires_grad_(True)
    (gradient,) = torch.autograd.grad(distance(a, b), b)
    return float((gradient * b.detach()).sum())


def test_it_pulls_samples_as_large_as_the_data_nowhere_at_the_truth(rng):
    ours = [slope_in_scale(projected_debiased_wasserstein, rng) for _ in range(40)]
    error = np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < 4 * error
    # The plain distance of the same samples pulls them together, by many of these errors.
    plain = [slope_in_scale(projected_wasserstein_squared, rng) for _ in range(40)]
    assert np.mean(plain) > 20 * error


@pytest.mark.parametrize(("n", "m"), [(4000, 8000), (4000, 5000)])
def test_the_number_of_threads_changes_no_bit(rng, n, m):
    a, b = rng.standard_normal((64, n)), rng.standard_normal((64, m))
    one, many = (debiased_rows(a, b, data_gradient=True, threads=t) for t in (1, 3))
    for mine, other in zip(one, many, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_what_is_not_a_number_is_passed_on(rng):
    a, b = rng.standard_normal((3, 5)), rng.standard_normal((3, 10))
    b[1, 2] = np.nan
    values, _, _ = debiased_rows(a, b)
    np.testing.assert_array_equal(np.isnan(values), [False, True, False])


def test_shapes_that_do_not_fit_are_refused(rng):
    with pytest.raises(ValueError, match="at least two points, got 1"):
        debiased_rows(np.ones((2, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="same directions, got 2 and 3"):
        debiased_rows(np.ones((2, 3)), np.ones((3, 4)))
