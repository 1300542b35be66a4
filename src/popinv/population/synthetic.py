"""Draws from a population: parameters for the solver, and noise.

Row i of a stage depends on (seed, stage, i) alone, so that a population can be drawn, solved and
observed in any number of pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from popinv.late import torch
from popinv.population.known import Known, inputs
from popinv.population.laws.base import Law
from popinv.seeds import standard_normal_rows

if TYPE_CHECKING:
    from popinv.population.noise.terms import Noise


def parameters(
    law: Law,
    alpha: np.ndarray,
    seed: int,
    stage: str,
    count: int,
    known: Known | None = None,
) -> np.ndarray:
    """Return inputs of the forward model (count, inputs) drawn from mu(alpha).

    ``known`` holds design and covariates of each of them, where the study has any.
    """
    omega = standard_normal_rows(seed, f"{stage}/omega", 0, count, law.d_omega)
    with torch.no_grad():
        own = Known.nothing(count) if known is None else known
        return inputs(law, torch.from_numpy(alpha), torch.from_numpy(omega), own).numpy()


def broad_parameters(
    law: Law,
    alpha: np.ndarray,
    spread: np.ndarray,
    seed: int,
    stage: str,
    count: int,
    known: Known | None = None,
) -> np.ndarray:
    """Return inputs of the forward model (count, inputs), each from a law of its own about alpha.

    ``alpha_i = alpha + spread * eta_i`` with eta_i standard normal, ``z_i ~ mu(alpha_i)``: a
    first design that covers the populations one could believe in before seeing data.
    """
    eta = standard_normal_rows(seed, f"{stage}/eta", 0, count, len(alpha))
    omega = standard_normal_rows(seed, f"{stage}/omega", 0, count, law.d_omega)
    rows = torch.from_numpy(alpha + spread * eta)
    with torch.no_grad():
        own = Known.nothing(count) if known is None else known
        return inputs(law, rows, torch.from_numpy(omega), own).numpy()


def noise_rows(
    noise: Noise,
    gamma: np.ndarray,
    seed: int,
    stage: str,
    clean: np.ndarray,
    covariates: np.ndarray | None = None,
) -> np.ndarray:
    """Return noise (n, d_y) about noise-free observations.

    Parameters
    ----------
    gamma : ndarray of shape (n_gamma,)
    seed, stage : int, str
        Address of the draws.
    clean : ndarray of shape (n, d_y)
        G(z), NaN rows for solves that failed.
    covariates : ndarray of shape (n, k), optional
        Covariates of the systems, for noise that depends on them.
    """
    e = standard_normal_rows(seed, f"{stage}/noise", 0, len(clean), noise.d_y)
    x = None if covariates is None else torch.from_numpy(covariates)
    rows = torch.from_numpy(gamma), torch.from_numpy(e), torch.from_numpy(clean), x
    with torch.no_grad():
        return noise.sample_given(*rows).numpy()
