"""Noise models: closed forms, positive definiteness, whitening, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_checks import check_factor, check_whitening
from scipy.special import gamma as gamma_function
from scipy.special import kv

from popinv.population.noise.kernel import KERNELS, KernelNoise
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise

PLACES = np.sort(np.random.default_rng(0).uniform(size=(12, 1)), axis=0)


def models():
    yield IsotropicNoise(12)
    yield DiagonalNoise(12)
    for kernel in KERNELS:
        yield KernelNoise(PLACES, kernel, nugget=False)
        yield KernelNoise(PLACES, kernel, nugget=True)


MODELS = list(models())
IDS = [type(m).__name__ + "-" + "-".join(m.names[:3]) + f"-{i}" for i, m in enumerate(MODELS)]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@settings(deadline=None)
@given(data=st.data())
def test_covariance_is_positive_definite_and_whitening_is_its_inverse_root(model, data):
    # Condition numbers reach 1e9 (the jitter's inverse, times 12), so whitening the factor
    # is exact to about 1e-16 * sqrt(1e9).
    covariance = check_factor(model, data, smallest=-4.0, whitened=1e-8)
    torch.testing.assert_close(covariance, covariance.T, rtol=0, atol=0)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_samples_are_differentiable_in_gamma(model):
    # Jitter alone keeps very smooth kernels regular, so finite differences want short lengths.
    gamma = torch.full((len(model.names),), -1.5, dtype=torch.float64, requires_grad=True)
    e = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 12)))
    assert torch.autograd.gradcheck(lambda g: model.sample(g, e), gamma, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("model", [IsotropicNoise(5), DiagonalNoise(5)], ids=["one", "each"])
def test_uncorrelated_noise_is_not_factorised(model, monkeypatch):
    # That would cost the cube of the number of observations, at each step of a descent.
    monkeypatch.setattr(torch.linalg, "cholesky", None)
    rng = np.random.default_rng(2)
    gamma = torch.from_numpy(rng.standard_normal(len(model.names)))
    e = torch.from_numpy(rng.standard_normal((3, 5)))
    deviations = torch.exp(gamma).expand(5)
    torch.testing.assert_close(model.sample(gamma, e), deviations * e)
    torch.testing.assert_close(model.cholesky(gamma), torch.diag(deviations))


@pytest.mark.parametrize(
    ("kernel", "nu"), [("exponential", 0.5), ("matern32", 1.5), ("matern52", 2.5)]
)
def test_kernels_are_matern_of_their_order(kernel, nu):
    r = np.linspace(0.05, 4, 30)
    scaled = np.sqrt(2 * nu) * r
    bessel = 2 ** (1 - nu) / gamma_function(nu) * scaled**nu * kv(nu, scaled)
    np.testing.assert_allclose(KERNELS[kernel](torch.from_numpy(r)).numpy(), bessel, rtol=1e-12)


def test_squared_exponential_closed_form():
    r = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    expected = torch.exp(torch.tensor([0.0, -0.5, -2.0], dtype=torch.float64))
    torch.testing.assert_close(KERNELS["squared_exponential"](r), expected)


def test_kernel_covariance_entry_by_entry():
    model = KernelNoise(PLACES, "exponential", nugget=True)
    values = {"amplitude": 0.3, "length": 0.2, "nugget": 0.1}
    covariance = model.covariance(torch.from_numpy(model.from_natural(values))).numpy()
    distance = np.abs(PLACES - PLACES.T)
    expected = 0.09 * np.exp(-distance / 0.2) + 0.01 * np.eye(12)
    np.testing.assert_allclose(covariance, expected, atol=0.09 * KernelNoise.jitter * 1.01)


def test_kernel_distance_in_two_dimensions():
    places = np.array([[0.0, 0.0], [0.3, 0.4]])
    model = KernelNoise(places, "exponential", nugget=False)
    gamma = torch.from_numpy(model.from_natural({"amplitude": 1.0, "length": 0.5}))
    assert float(model.covariance(gamma)[0, 1]) == pytest.approx(np.exp(-1.0), rel=1e-14)


def test_isotropic_and_diagonal_closed_forms():
    isotropic = IsotropicNoise(3)
    gamma = torch.from_numpy(isotropic.from_natural({"standard_deviation": 0.2}))
    torch.testing.assert_close(isotropic.covariance(gamma), 0.04 * torch.eye(3).double())
    diagonal = DiagonalNoise(3)
    each = diagonal.from_natural({"standard_deviation": [0.1, 0.2, 0.3]})
    expected = torch.diag(torch.tensor([0.01, 0.04, 0.09], dtype=torch.float64))
    torch.testing.assert_close(diagonal.covariance(torch.from_numpy(each)), expected)
    same = diagonal.from_natural({"standard_deviation": 0.2})
    np.testing.assert_allclose(diagonal.to_natural(same), 0.2)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"amplitude": 1.0}, "expected the names"), ({"amplitude": 1.0, "length": 0.0}, "positive")],
)
def test_values_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        KernelNoise(PLACES, "exponential", nugget=False).from_natural(values)


def test_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="'linear' is not one of"):
        KernelNoise(PLACES, "linear", nugget=False)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@settings(max_examples=10)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_noise_is_whitened_to_what_it_was_made_of_and_has_the_covariance(model, data, seed):
    check_whitening(model, data, seed)
