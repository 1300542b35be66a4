r"""How well N observations can determine the law and the noise at all.

The mean m and the covariance C of an observation are functions of p = (alpha, gamma). A Gaussian
likelihood with these moments carries the information

.. math::
    I_{ij} = N \bigl( \partial_i m^T C^{-1} \partial_j m
             + \tfrac12 \operatorname{tr} C^{-1} \partial_i C\, C^{-1} \partial_j C \bigr),

the standard Slepian-Bangs formula. Its inverse predicts the standard errors that the first two
moments allow, and its weakest eigenvector the combination of parameters known least. An
eigenvalue near zero means that moments of order two do not determine that combination; a
nonlinear model may still do so through higher ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from popinv.inference.curvature import tangents
from popinv.inference.problem import Problem
from popinv.seeds import generator
from popinv.threads import fixed_threads

__all__ = ["Identifiability", "identifiability", "moment_information"]


@dataclass(frozen=True)
class Identifiability:
    """Predicted standard errors in the unconstrained coordinates, and the weakest direction.

    Attributes
    ----------
    standard_errors : ndarray of shape (n_p,)
    weakest : ndarray of shape (n_p,)
        Unit vector, in units of ``Problem.scale``.
    weakest_error : float
        Predicted standard error along it, in the same units.
    """

    standard_errors: np.ndarray
    weakest: np.ndarray
    weakest_error: float

    def describe_weakest(self, names: tuple[str, ...], most: int = 3) -> str:
        """Return the weakest direction in the user's names, largest entries first."""
        order = np.argsort(-np.abs(self.weakest))[:most]
        return " ".join(f"{self.weakest[i]:+.2f} {names[i]}" for i in order)


def moment_information(
    mean_tangents: np.ndarray, covariance: np.ndarray, covariance_tangents: np.ndarray
) -> np.ndarray:
    """Return the information of one observation, shape (n_p, n_p).

    Parameters
    ----------
    mean_tangents : ndarray of shape (n_p, d_y)
    covariance : ndarray of shape (d_y, d_y)
    covariance_tangents : ndarray of shape (n_p, d_y, d_y)
    """
    solved = np.linalg.solve(covariance, covariance_tangents)
    from_mean = mean_tangents @ np.linalg.solve(covariance, mean_tangents.T)
    return from_mean + 0.5 * np.einsum("iab,jba->ij", solved, solved)


def identifiability(
    problem: Problem, alpha: np.ndarray, gamma: np.ndarray, samples: int = 4000
) -> Identifiability:
    """Predict the standard errors at (alpha, gamma) for the problem's N observations."""
    rng = generator(problem.seed, "identifiability")
    omega = torch.from_numpy(rng.standard_normal((samples, problem.law.d_omega)))
    # The noise's part of the moments is known in closed form, so no noise is drawn.
    quiet = torch.zeros((1, problem.noise.d_y), dtype=torch.float64)
    d_alpha = problem.d_alpha
    p = torch.from_numpy(np.concatenate([alpha, gamma]))

    def moments(q: torch.Tensor) -> torch.Tensor:
        signal = problem.model(q, omega, quiet)
        centred = signal - signal.mean(dim=0)
        covariance = centred.T @ centred / samples + problem.noise.covariance(q[d_alpha:])
        return torch.cat([signal.mean(dim=0)[None], covariance])

    with fixed_threads(), torch.no_grad():
        here = moments(p).numpy()
        columns = tangents(moments, p).numpy()
    information = len(problem.data) * moment_information(columns[:, 0], here[1:], columns[:, 1:])
    scaled = information * np.outer(problem.scale, problem.scale)
    values, vectors = np.linalg.eigh(scaled)
    floor = max(values[-1], 1.0) * 1e-14
    inverse = (vectors / np.maximum(values, floor)) @ vectors.T
    return Identifiability(
        standard_errors=np.sqrt(np.diag(inverse)) * problem.scale,
        weakest=vectors[:, 0],
        weakest_error=float(1 / np.sqrt(max(values[0], floor))),
    )
