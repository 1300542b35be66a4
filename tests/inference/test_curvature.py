"""The Gauss-Newton matrix against its closed form, and tangents against derivatives."""

from __future__ import annotations

import numpy as np
import torch
from problems import PLACES, curve_problem

from popinv.forward.tangents import each_tangent
from popinv.population.noise.kernel import KernelNoise
from popinv.transport.curvature import gauss_newton_matrix
from popinv.transport.sliced import directions


def test_tangents_equal_automatic_derivatives():
    problem, alpha, gamma = curve_problem(count=10)
    rng = np.random.default_rng(0)
    omega = torch.from_numpy(rng.standard_normal((5, 2)))
    e = torch.from_numpy(rng.standard_normal((5, 8)))
    p = torch.from_numpy(np.concatenate([alpha, gamma]))
    columns = torch.stack(list(each_tangent(lambda q: problem.model(q, omega, e), p)))
    exact = torch.autograd.functional.jacobian(lambda q: problem.model(q, omega, e), p)
    torch.testing.assert_close(columns, exact.permute(2, 0, 1), rtol=1e-6, atol=1e-8)


def test_pure_noise_reproduces_the_closed_form():
    # H_ij = (2 tr(E_i E_j) + tr E_i tr E_j) / (4 (d + 2)), E_i = L^{-1} (d_i Gamma) L^{-T}.
    noise = KernelNoise(PLACES, "exponential", nugget=False)
    gamma = torch.from_numpy(noise.from_natural({"amplitude": 0.3, "length": 0.2}))
    rng = np.random.default_rng(0)
    e = torch.from_numpy(rng.standard_normal((20_000, 8)))
    theta = torch.from_numpy(directions(rng, 400, 8))
    cholesky = noise.cholesky(gamma)
    u = torch.linalg.solve_triangular(cholesky.T, theta, upper=True)
    columns = torch.stack(list(each_tangent(lambda g: noise.sample(g, e), gamma)))
    curvature = gauss_newton_matrix(noise.sample(gamma, e), columns, u, rows_per_bin=200)
    derivative = torch.autograd.functional.jacobian(noise.covariance, gamma).permute(2, 0, 1)
    inverse = torch.linalg.inv(cholesky)
    whitened = inverse @ derivative @ inverse.T
    trace = torch.einsum("iaa->i", whitened)
    products = torch.einsum("iab,jba->ij", whitened, whitened)
    expected = (2 * products + torch.outer(trace, trace)) / (4 * (8 + 2))
    # Monte Carlo over 20000 rows and 400 directions: a few per cent.
    torch.testing.assert_close(curvature, expected, rtol=0.05, atol=0.02 * float(expected.max()))
