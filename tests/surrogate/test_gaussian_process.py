"""Gaussian processes against scikit-learn, finite differences, and brute-force conditioning."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from popinv.errors import DataError
from popinv.surrogate.artefact import surrogate_dataset, surrogate_of
from popinv.surrogate.gaussian_process.emulator import Emulator, train_emulator
from popinv.surrogate.gaussian_process.fit import fit_processes
from popinv.surrogate.gaussian_process.processes import COVARIANCES, Processes

RNG = np.random.default_rng(0)
NOISE = 0.02


def solver(z: np.ndarray) -> np.ndarray:
    """Return six observations of a smooth curve: a positive rate, a size, and an offset."""
    t = np.linspace(0, 2, 6)
    return z[:, :1] * np.exp(-z[:, 1:2] * t) + 0.3 * np.sin(2 * z[:, 2:3] + t)


def inputs(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, 3)) * [0.3, 0.3, 0.5] + [1.0, 0.0, 0.2]
    z[:, 1] = np.exp(z[:, 1])
    return z


def emulator(count: int = 40, **options) -> Emulator:
    z = inputs(count)
    given = {"covariance": "matern", "restarts": 0, "seed": 3, "stage": "train/0"} | options
    whitening = np.eye(6) / NOISE
    return train_emulator(
        z, solver(z), whitening=whitening, logarithmic=(False, True, False), **given
    )


def peer(found: Processes, c: int) -> GaussianProcessRegressor:
    """Return scikit-learn's process with the hyperparameters that were found, and no search."""
    lengths = found.lengths[c].numpy()
    radial = kernels.Matern(lengths, nu=2.5)
    if found.covariance == "squared_exponential":
        radial = kernels.RBF(lengths)
    kernel = kernels.ConstantKernel(found.amplitude[c].item()) * radial
    kernel += kernels.ConstantKernel(found.slope[c].item()) * kernels.DotProduct(1.0, "fixed")
    regressor = GaussianProcessRegressor(kernel, alpha=found.nugget[c].item(), optimizer=None)
    return regressor.fit(found.inputs.numpy(), found.targets[:, c].numpy())


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_means_and_deviations_are_those_of_scikit_learn(covariance):
    x = RNG.standard_normal((30, 3))
    targets = np.column_stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] ** 2 - 0.3])
    # With errors the matrices are far from singular, and rounding does not count.
    targets += 0.01 * RNG.standard_normal(targets.shape)
    found = fit_processes(x, targets, covariance, 1, 4, "train/0")
    elsewhere = RNG.standard_normal((50, 3))
    mean, variance = (
        found.mean(torch.from_numpy(elsewhere)),
        found.variance(torch.from_numpy(elsewhere)),
    )
    between = found.covariances(torch.from_numpy(elsewhere))
    for c in range(2):
        wanted, deviation = peer(found, c).predict(elsewhere, return_std=True)
        _, whole = peer(found, c).predict(elsewhere, return_cov=True)
        np.testing.assert_allclose(mean[:, c], wanted, atol=1e-8)
        np.testing.assert_allclose(variance[:, c].sqrt(), deviation, atol=1e-8)
        np.testing.assert_allclose(between[c], whole, atol=1e-8)


def test_the_hyperparameters_have_the_largest_marginal_likelihood():
    x = RNG.standard_normal((40, 2))
    target = np.sin(1.5 * x[:, 0]) * np.cos(x[:, 1]) + 0.05 * RNG.standard_normal(40)
    found = fit_processes(x, target[:, None], "matern", 2, 4, "train/0")
    regressor = peer(found, 0)

    def likelihood(nugget: float, change: np.ndarray) -> float:
        regressor.alpha = nugget
        return regressor.log_marginal_likelihood(regressor.kernel_.theta + change)

    nugget = found.nugget[0].item()
    assert np.sqrt(nugget) == pytest.approx(0.05, rel=0.4)
    best = likelihood(nugget, np.zeros(4))
    for i in range(4):
        for sign in (-0.3, 0.3):
            assert likelihood(nugget, sign * np.eye(4)[i]) <= best + 1e-3
    assert max(likelihood(nugget * f, np.zeros(4)) for f in (0.7, 1.4)) <= best + 1e-3


def test_derivatives_agree_with_finite_differences_and_autograd():
    for options in ({}, {"covariance": "squared_exponential"}):
        through = emulator(**options)
        z = torch.from_numpy(inputs(7, seed=9))
        tangents = torch.from_numpy(RNG.standard_normal((4, 7, 3)))
        value, change = through.linearise(z, tangents)
        torch.testing.assert_close(value, through(z), atol=1e-8, rtol=1e-8)
        step = 1e-4
        for tangent, found in zip(tangents, change, strict=True):
            difference = (through(z + step * tangent) - through(z - step * tangent)) / (2 * step)
            torch.testing.assert_close(found, difference, atol=1e-6, rtol=1e-6)
        moving = z.clone().requires_grad_(True)
        weights = torch.from_numpy(RNG.standard_normal((7, 6)))
        (gradient,) = torch.autograd.grad((through(moving) * weights).sum(), moving)
        along = torch.stack([(c * weights).sum(dim=1) for c in change], dim=0)
        torch.testing.assert_close(along, (tangents * gradient).sum(dim=2), atol=1e-8, rtol=1e-8)


def test_heavy_tails_are_read_by_arcsinh_with_the_same_derivatives():
    z = inputs(60)
    y = np.exp(3 * z[:, :2]) * [1.0, 0.1]
    through = train_emulator(
        z, y, covariance="matern", restarts=0, seed=1, stage="s", logarithmic=(False, True, False)
    )
    assert through.heavy
    np.testing.assert_allclose(through.predict(z), y, rtol=0.02, atol=0.05)
    at = torch.from_numpy(inputs(5, seed=4))
    tangents = torch.from_numpy(RNG.standard_normal((2, 5, 3)))
    _, change = through.linearise(at, tangents)
    for tangent, found in zip(tangents, change, strict=True):
        difference = (through(at + 1e-6 * tangent) - through(at - 1e-6 * tangent)) / 2e-6
        torch.testing.assert_close(found, difference, atol=1e-4, rtol=1e-5)


def test_heavy_tails_to_either_side_are_seen():
    z = inputs(60)
    y = np.exp(3 * z[:, :2])
    settings = {"covariance": "matern", "restarts": 0, "seed": 1, "stage": "s"}
    above, below = train_emulator(z, y, **settings), train_emulator(z, -y, **settings)
    assert above.heavy
    assert below.heavy
    at = inputs(5, seed=4)
    # The search for the hyperparameters ends within its tolerance.
    np.testing.assert_allclose(below.predict(at), -above.predict(at), rtol=1e-3, atol=1e-3)


def test_few_solves_of_a_smooth_solver_suffice():
    through, z = emulator(60, covariance="auto"), inputs(300, seed=2)
    assert through.processes.covariance == "squared_exponential"
    error = (through.predict(z) - solver(z)) / NOISE
    assert np.sqrt(np.mean(error**2)) < 0.05
    # Most errors lie within their own predictive intervals.
    inside = np.abs(through.predict(z) - solver(z)) < 1.96 * through.deviation(z)
    assert 0.85 < inside.mean() <= 1.0


def test_a_linear_solver_is_learned_from_hardly_more_solves_than_inputs():
    z, matrix = inputs(8), RNG.standard_normal((3, 5))
    through = train_emulator(z, z @ matrix, covariance="matern", restarts=1, seed=1, stage="s")
    far = inputs(50, seed=5)
    np.testing.assert_allclose(through.predict(far), far @ matrix, atol=0.02)


def test_conditioning_is_the_fit_with_all_solves_at_the_same_hyperparameters():
    z = inputs(25, seed=6)
    through = emulator()
    more = through.conditioned(z, solver(z))
    # It then knows these solves.
    np.testing.assert_allclose(more.predict(z), solver(z), atol=0.1 * NOISE)
    joined = more.processes
    for c in range(through.components):
        at = through._inner(torch.from_numpy(inputs(9, seed=8)))
        wanted, deviation = peer(joined, c).predict(at.numpy(), return_std=True)
        np.testing.assert_allclose(joined.mean(at)[:, c], wanted, atol=1e-8)
        np.testing.assert_allclose(joined.variance(at)[:, c].sqrt(), deviation, atol=1e-7)


def test_draws_have_the_posterior_mean_and_deviation():
    through, z = emulator(20), inputs(12, seed=7)
    normal = np.random.default_rng(2).standard_normal((4000, through.components, 12))
    draws = through.draws(z, normal)
    deviation = through.deviation(z)
    np.testing.assert_allclose(
        (draws.mean(axis=0) - through.predict(z)) / deviation, 0.0, atol=5 / np.sqrt(4000)
    )
    np.testing.assert_allclose(draws.std(axis=0) / deviation, 1.0, atol=0.06)
    wider = through.draws(z, normal, inflation=2.0)
    np.testing.assert_allclose(wider.std(axis=0) / draws.std(axis=0), 2.0, rtol=1e-9)
    # Between systems they vary together, as the covariances say.
    units = through.standardisation.output_scale
    first = ((draws - draws.mean(axis=0)) / units) @ through.projection.numpy()[:, 0]
    wanted = through.candidate_covariances(z)[0] + through.processes.nugget[0].item() * np.eye(12)
    size = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose(
        np.cov(first, rowvar=False) / np.outer(size, size),
        wanted / np.outer(size, size),
        atol=0.08,
    )


@pytest.mark.full
def test_the_same_seed_gives_the_same_bits_and_an_artefact_keeps_them(tmp_path):
    one, same = emulator(restarts=1), emulator(restarts=1)
    z = inputs(5, seed=3)
    np.testing.assert_array_equal(one.predict(z), same.predict(z))
    stored = surrogate_dataset(one, {}, {"converged": 0})
    assert json.loads(stored.attrs["hyperparameters"])["kind"] == "gaussian_process"
    stored.to_zarr(tmp_path / "surrogate.zarr", consolidated=False)
    again = surrogate_of(xr.open_zarr(tmp_path / "surrogate.zarr", consolidated=False))
    np.testing.assert_array_equal(again.predict(z), one.predict(z))
    np.testing.assert_array_equal(again.deviation(z), one.deviation(z))


def test_solves_that_cannot_be_learned_from_are_refused():
    z = inputs(2)
    options = {"covariance": "matern", "restarts": 0, "seed": 1, "stage": "s"}
    with pytest.raises(DataError, match="at least 3 solves"):
        train_emulator(z, solver(z), **options)
    with pytest.raises(DataError, match="same observations"):
        train_emulator(inputs(9), np.ones((9, 4)), **options)
