"""Hyperparameters of Gaussian processes by the largest marginal likelihood.

scikit-learn's ``GaussianProcessRegressor`` maximises it with the derivatives (L-BFGS-B), from one
start near typical values and from further starts drawn at random.
"""

from __future__ import annotations

import warnings

import numpy as np

from popinv.late import torch
from popinv.seeds import generator
from popinv.surrogate.gaussian_process.processes import Processes
from popinv.threads import fixed_threads
from popinv.workers import parallel

# Bounds of the hyperparameters, for inputs and targets with deviation 1. The nugget keeps the
# matrices of close inputs positive definite.
_AMPLITUDE, _SLOPE = (1e-4, 1e3), (1e-6, 1e3)
_LENGTH, _NUGGET = (0.05, 1e3), (1e-9, 1.0)
_JITTER = 1e-9
_START = 2.0


def fit_processes(
    inputs: np.ndarray,
    targets: np.ndarray,
    covariance: str,
    restarts: int,
    seed: int,
    stage: str,
) -> Processes:
    """Return processes with the hyperparameters of the largest marginal likelihood.

    With "auto" both covariance functions are fitted. All targets take the one whose marginal
    likelihoods have the larger product.

    Parameters
    ----------
    inputs : ndarray of shape (n, d)
        Standardised.
    targets : ndarray of shape (n, q)
        Targets with mean 0 and standard deviation 1; each column is fitted by itself.
    covariance : {"auto", "matern", "squared_exponential"}
    restarts : int
        Number of random starts beside the first.
    seed, stage : int, str
        Address of the random starts.
    """
    # These are imported here, as predictions do not need them.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels

    lengths = np.full(inputs.shape[1], _START)
    radial = {
        "matern": kernels.Matern(lengths, _LENGTH, nu=2.5),
        "squared_exponential": kernels.RBF(lengths, _LENGTH),
    }
    found = []
    for name in radial if covariance == "auto" else (covariance,):
        kernel = (
            kernels.ConstantKernel(1.0, _AMPLITUDE) * radial[name]
            + kernels.ConstantKernel(0.1, _SLOPE) * kernels.DotProduct(1.0, "fixed")
            + kernels.WhiteKernel(1e-4, _NUGGET)
        )

        def fitted(
            c: int, name: str = name, kernel: kernels.Kernel = kernel
        ) -> tuple[np.ndarray, float]:
            """Return the hyperparameters of a component, and its marginal likelihood."""
            draw = int(generator(seed, f"{stage}/{name}", c).integers(2**32))
            regressor = GaussianProcessRegressor(
                kernel, alpha=_JITTER, n_restarts_optimizer=restarts, random_state=draw
            )
            with fixed_threads(), warnings.catch_warnings():
                # An optimum at a bound is allowed: an input without effect has the longest length.
                warnings.simplefilter("ignore", ConvergenceWarning)
                regressor.fit(inputs, targets[:, c])
            return np.exp(regressor.kernel_.theta), regressor.log_marginal_likelihood_value_

        components = range(targets.shape[1])
        each = list(parallel(fitted, components, "Gaussian processes", unit="component"))
        likelihood = sum(value for _, value in each)
        found.append((likelihood, name, np.array([row for row, _ in each])))
    _, best, hyperparameters = max(found, key=lambda each: each[0])
    # They stand in the order of the kernel: amplitude, lengths, slope, nugget.
    values = torch.from_numpy(hyperparameters)
    return Processes(
        best,
        amplitude=values[:, 0].clone(),
        slope=values[:, -2].clone(),
        nugget=values[:, -1] + _JITTER,
        lengths=values[:, 1:-2].clone(),
        inputs=torch.from_numpy(inputs.copy()),
        targets=torch.from_numpy(targets.copy()),
    )
