"""What must hold for every family of noise."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from popinv.population.noise.base import NoiseModel


def check_factor(
    model: NoiseModel, data: st.DataObject, smallest: float, whitened: float
) -> Tensor:
    """The covariance, which is returned, has a triangular factor that whitening undoes."""
    values = [data.draw(st.floats(smallest, 2), label=name) for name in model.names]
    gamma = torch.tensor(values, dtype=torch.float64)
    factor, covariance = model.cholesky(gamma), model.covariance(gamma)
    assert torch.all(torch.diagonal(factor) > 0)
    torch.testing.assert_close(torch.tril(factor), factor, rtol=0, atol=0)
    # Values and tolerance are relative to the largest variance.
    scale = float(covariance.abs().max())
    torch.testing.assert_close(factor @ factor.T, covariance, rtol=0, atol=1e-12 * scale)
    eye = torch.eye(model.d_y, dtype=torch.float64)
    torch.testing.assert_close(model.whiten(gamma, factor.T), eye, rtol=0, atol=whitened)
    return covariance


def check_whitening(model: NoiseModel, data: st.DataObject, seed: int) -> None:
    """Noise has its covariance, and is whitened to what it was made of."""
    values = [data.draw(st.floats(-1, 1), label=name) for name in model.names]
    gamma = torch.tensor(values, dtype=torch.float64)
    # Columns that are orthonormal but for a factor: their sample covariance is exactly I.
    rows = 3 * model.d_y
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((rows, model.d_y)))
    e = torch.from_numpy(np.sqrt(rows) * q)
    xi = model.sample(gamma, e)
    covariance = model.covariance(gamma)
    scale = float(covariance.abs().max())
    torch.testing.assert_close(xi.T @ xi / rows, covariance, rtol=0, atol=1e-10 * scale)
    # Whitening is an inverse square root: W Gamma W^T = I, and it undoes the sampling.
    torch.testing.assert_close(model.whiten(gamma, xi), e, rtol=0, atol=1e-5)
    root = model.whiten(gamma, torch.eye(model.d_y, dtype=torch.float64)).T
    eye = torch.eye(model.d_y, dtype=torch.float64)
    torch.testing.assert_close(root @ covariance @ root.T, eye, rtol=0, atol=1e-5)
    assert torch.linalg.eigvalsh(covariance)[0] > -1e-13 * scale
