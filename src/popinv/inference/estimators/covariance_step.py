r"""The joint step of law and unrestricted covariance, in whitened coordinates.

The noise moves by ``L -> L (I + E)`` with E symmetric. Let the metric be fixed (policy ``cut``) and
let t = <theta, L^{-1} y> be the whitened projection of the model. To first order

.. math::
    \partial_E Q_\theta = (\theta^T E\, \theta)\, h_\theta, \qquad
    h_\theta(u) = E[\langle\theta, e\rangle \mid t = Q_\theta(u)],

since the part of e orthogonal to theta does not depend on t. No noise parameter needs its own
tangent: the Gauss-Newton matrix of (alpha, E) (:mod:`popinv.transport.curvature`) follows from h
and the law's tangents, averaged over directions,

.. math::
    H_{EE} = d\, E_\theta\Bigl[ (\theta\theta^T) \otimes (\theta\theta^T) \int h_\theta^2 \Bigr],
    \qquad
    H_{\alpha E} = d\, E_\theta\Bigl[ \theta\theta^T \int h_\theta\, \partial_\alpha Q_\theta
    \Bigr].

Without signal, h is the normal quantile function and H is
``H[E, E] = (2 tr E^2 + (tr E)^2) / (d + 2)``, whose step is
``E = -(d + 2) / 2 (A - tr(A) / (d + 2) I)`` for the gradient A. With signal, law and noise can
exchange variance along the signal's modes. A joint step does not slow down along that valley.

Shrinkage adds ``shrinkage / (d + 2)`` times the Kullback-Leibler divergence of N(0, Gamma) from
N(0, D), D = diag(Gamma) held,

.. math::
    \mathrm{KL}(D \,\|\, \Gamma) = \tfrac12\bigl(\operatorname{tr} \Gamma^{-1} D
    - \log\det \Gamma^{-1} D - d\bigr),

The penalty acts like further observations of uncorrelated noise, and keeps every direction from
collapsing. It has more weight where the data carry less information. The construction is this
package's own.

With R replicates, theta has d = R d_y entries, :math:`I_R \otimes E` replaces E,
:math:`\sum_r \theta_r^T E\, \theta_r` replaces :math:`\theta^T E\, \theta`, and the divergence
counts R times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.linalg import cho_solve, cholesky

from popinv.errors import ConfigError
from popinv.forward.tangents import each_tangent
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.estimators.trust_region import longest_steps
from popinv.late import torch
from popinv.optimisation.bounded import bounded_step
from popinv.population.noise.base import STEP_SCALE
from popinv.population.priors.prior import Prior, square_root
from popinv.seeds import generator
from popinv.transport.sliced import directions

if TYPE_CHECKING:  # the descent on other noise must not depend on this family's code
    from popinv.population.noise.unstructured import FullNoise


_DAMPING = 1e-3
# The mean of the noise over a bin has variance 1 / rows, which biases a small h^2 upwards; h^2 is
# small where the signal is large.
_ROWS_PER_BIN = 100
# Lower bound of h^2, which is 1 without signal. If the signal is strong, the sample carries little
# information on the noise, and a whole Newton step would follow the sample's noise.
_LEAST_CURVATURE = 0.3
# Largest change of any eigenvalue of E's trace-free part, relative to ``max_step``.
_LONGEST_ACROSS = 0.2
# Directions of the curvature for each entry of E. Below one the matrix would be singular.
_DIRECTIONS_PER_ENTRY = 2


def moves_full_covariance(problem: Problem, settings: DescentSettings) -> bool:
    """Return whether this module makes the step.

    Raises
    ------
    ConfigError
        If it does, but the optimiser or the policy is not the one that the step requires.
    """
    if not (problem.noise.unrestricted and problem.free_noise):
        return False
    if settings.optimiser != "gauss_newton" or settings.policy != "cut":
        raise ConfigError(
            f"descent: optimiser '{settings.optimiser}' with policy '{settings.policy}' cannot "
            "move noise of kind 'full'; it needs optimiser 'gauss_newton' and policy 'cut'."
        )
    return True


def curvature_factor(
    problem: Problem,
    settings: DescentSettings,
    p: torch.Tensor,
    draws: tuple[torch.Tensor, torch.Tensor, np.ndarray | None],
    index: int,
) -> np.ndarray:
    """Return the lower Cholesky factor of the damped Gauss-Newton matrix of (alpha, E).

    Parameters
    ----------
    problem : Problem
        A problem with a noise of kind :class:`FullNoise`; without alpha if the law is held.
    p : Tensor of shape (n_p,)
    draws : (omega, e, systems)
        Arguments of :meth:`Problem.model`, m rows.
    index : int
        Number of the step, which fixes the directions.

    Returns
    -------
    ndarray of shape (n, n), n = d_alpha + d_y (d_y + 1) / 2
    """
    noise, d_alpha = _full(problem), problem.d_alpha if problem.free_law else 0
    d_y, gamma = problem.noise.d_y, p[problem.d_alpha :]
    rows, columns, weights = _entries(noise.d_y)
    count = max(settings.directions, _DIRECTIONS_PER_ENTRY * len(rows))
    rng = generator(problem.seed, f"{problem.stage}/curvature", index)
    theta = torch.from_numpy(directions(rng, count, d_y))
    factor = noise.cholesky(gamma)
    u = torch.linalg.solve_triangular(problem.noise.cholesky(gamma).T, theta, upper=True)
    omega, e, systems = draws
    sample = problem.model(p, omega, e, systems)
    order = torch.argsort(sample @ u, dim=0)
    bins = max(1, len(sample) // _ROWS_PER_BIN)
    used = bins * (len(sample) // bins)

    def quantile_tangent(change: torch.Tensor) -> torch.Tensor:
        ordered = torch.gather(change @ u, 0, order[:used])
        return ordered.reshape(bins, used // bins, count).mean(dim=1)

    # The noise's own part holds scales and missing entries of the systems, if there are any.
    of_noise = quantile_tangent(sample - problem.model(p, omega, torch.zeros_like(e), systems))
    of_law = torch.zeros((d_alpha, bins, count), dtype=p.dtype)
    if d_alpha:
        changes = each_tangent(
            lambda alpha: problem.model(torch.cat([alpha, gamma]), omega, e, systems), p[:d_alpha]
        )
        of_law = torch.stack([quantile_tangent(change) for change in changes])
    each = theta.numpy().reshape(problem.replicates, noise.d_y, count)
    squares = (each[:, rows] * each[:, columns]).sum(axis=0) * weights[:, None]
    own = np.maximum((of_noise**2).mean(dim=0).numpy(), _LEAST_CURVATURE)
    mixed = (of_law * of_noise).mean(dim=1).numpy()
    flat = of_law.reshape(d_alpha, bins * count).numpy()
    matrix = np.zeros((d_alpha + len(rows), d_alpha + len(rows)))
    matrix[:d_alpha, :d_alpha] = flat @ flat.T / bins
    matrix[:d_alpha, d_alpha:] = mixed @ squares.T
    matrix[d_alpha:, :d_alpha] = matrix[:d_alpha, d_alpha:].T
    matrix[d_alpha:, d_alpha:] = (squares * own) @ squares.T
    matrix *= d_y / count
    matrix[d_alpha:, d_alpha:] += _unseen(matrix[d_alpha:, d_alpha:], settings)
    matrix[d_alpha:, d_alpha:] += _weight(problem) * _shrinkage_curvature(noise, factor.numpy())
    if settings.regularisation:
        matrix[:d_alpha, :d_alpha] += np.eye(d_alpha) / settings.regularisation**2
    if stated := problem.prior.stated:
        matrix += _prior_curvature(problem, stated, p.numpy(), d_alpha) / len(problem.data)
    diagonal = np.diag(matrix)
    return cholesky(matrix + np.diag(_DAMPING * diagonal + 1e-12 * diagonal.max()), lower=True)


def joint_step(
    problem: Problem,
    settings: DescentSettings,
    p: np.ndarray,
    gradient: np.ndarray,
    factor: np.ndarray,
    rate: float,
    apart: tuple[float, float],
) -> np.ndarray:
    """Return p after a joint step of law and covariance.

    The trace of E over d_y, the common change of all standard deviations, is at most ``max_step``
    times half a factor e. Eigenvalues of the rest are at most a fifth of ``max_step``. The law's
    steps are bounded as in :mod:`popinv.inference.estimators.trust_region`.

    Parameters
    ----------
    p, gradient : ndarray of shape (n_p,)
    factor : ndarray
        From :func:`curvature_factor`.
    rate : float
        Learning rate.
    apart : (float, float)
        The loss, and the mean variance of the projected data.
    """
    noise, d_alpha = _full(problem), problem.d_alpha if problem.free_law else 0
    d_y, gamma = noise.d_y, p[problem.d_alpha :]
    rows, columns, weights = _entries(d_y)
    whitened = noise.whitened_gradient(gamma, gradient[problem.d_alpha :])
    at = noise.cholesky(torch.from_numpy(gamma)).numpy()
    whitened += _weight(problem) * (np.eye(d_y) - _diagonal_seen(at))
    slope = np.concatenate([gradient[:d_alpha], whitened[rows, columns] * weights])
    longest = np.full(len(slope), np.inf)
    if d_alpha:
        stiffness = (factor[:d_alpha] ** 2).sum(axis=1)
        longest[:d_alpha] = longest_steps(problem, settings, *apart, stiffness)[:d_alpha]
    newton = cho_solve((factor, True), slope)
    if np.any(rate * np.abs(newton) > longest):
        # A parameter of the law that is stopped must not move the noise as if it had continued.
        newton = bounded_step(factor @ factor.T, slope, longest / rate)
    move = np.zeros((d_y, d_y))
    move[rows, columns] = newton[d_alpha:] / weights
    move[columns, rows] = move[rows, columns]
    trace = np.trace(move) / d_y
    values, vectors = np.linalg.eigh(-rate * (move - trace * np.eye(d_y)))
    # Directions are bounded one by one, so that a poorly determined one does not slow the others.
    across = _LONGEST_ACROSS * settings.max_step
    along = settings.max_step * STEP_SCALE
    move = (vectors * np.clip(values, -across, across)) @ vectors.T
    move += np.clip(-rate * trace, -along, along) * np.eye(d_y)
    moved = p.copy()
    moved[problem.d_alpha :] = noise.moved(gamma, move)
    if d_alpha:
        # The law's step is the step that belongs to the noise's actual step.
        of_noise = factor[d_alpha:] @ factor[:d_alpha].T
        taken = move[rows, columns] * weights
        matrix = factor[:d_alpha] @ factor[:d_alpha].T
        rest = -rate * slope[:d_alpha] - of_noise.T @ taken
        moved[:d_alpha] += bounded_step(matrix, rest, longest[:d_alpha])
    return moved


def _prior_curvature(problem: Problem, prior: Prior, p: np.ndarray, d_alpha: int) -> np.ndarray:
    """Return the prior's curvature in (alpha, E), without the part that is negative."""
    noise, gamma = _full(problem), p[problem.d_alpha :]
    rows, columns, weights = _entries(noise.d_y)
    root = square_root(prior.curvature(p))
    of_noise = [
        noise.whitened_gradient(gamma, each)[rows, columns] * weights
        for each in root[problem.d_alpha :].T
    ]
    whole = np.concatenate([root[:d_alpha], np.array(of_noise).T])
    return np.asarray(whole @ whole.T)


def _unseen(curvature: np.ndarray, settings: DescentSettings) -> np.ndarray:
    """Return the factor that stiffens all of E but its trace, given the curvature in E.

    K directions determine K of the d (d + 1) / 2 numbers in E, so a step may follow them only by
    the share s = K / (K + d (d + 1) / 2): the curvature is multiplied by 1 / s.
    """
    count = len(curvature)
    rows, columns, _ = _entries(round((np.sqrt(8 * count + 1) - 1) / 2))
    identity = (rows == columns) / np.sqrt(np.sum(rows == columns))
    share = settings.directions / (settings.directions + count)
    across = np.outer(identity, identity @ curvature)
    rest = (
        curvature
        - across
        - across.T
        + (identity @ curvature @ identity) * np.outer(identity, identity)
    )
    return (1 / share - 1) * rest


def _full(problem: Problem) -> FullNoise:
    assert problem.noise.unrestricted
    return cast("FullNoise", problem.noise.family)


def _weight(problem: Problem) -> float:
    """Return the weight of the divergence of N(0, Gamma) from N(0, diag Gamma)."""
    return problem.noise.shrinkage * problem.replicates / (problem.noise.d_y + 2)


def _entries(d_y: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and weights that make the lower triangle of E an isometric vector."""
    rows, columns = np.tril_indices(d_y)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0))


def _diagonal_seen(factor: np.ndarray) -> np.ndarray:
    """Return L^{-1} diag(Gamma) L^{-T}."""
    solved = np.linalg.solve(factor, np.diag(np.linalg.norm(factor, axis=1)))
    return solved @ solved.T


def _shrinkage_curvature(noise: FullNoise, factor: np.ndarray) -> np.ndarray:
    """Return the matrix of E -> M E + E M, M = L^{-1} D L^{-T}."""
    rows, columns, weights = _entries(noise.d_y)
    entry, count = np.arange(len(rows)), len(rows)
    basis = np.zeros((count, noise.d_y, noise.d_y))
    basis[entry, rows, columns] = 1 / weights
    basis[entry, columns, rows] = 1 / weights
    seen = _diagonal_seen(factor) @ basis
    image = seen + np.swapaxes(seen, 1, 2)
    return image[:, rows, columns] * weights
