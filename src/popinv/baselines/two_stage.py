r"""The standard two-stage method: fit each system on its own, then pool the fits.

In the first stage the noise gamma is fixed, and each system's parameters are

.. math::
    \hat z^{(n)} = \arg\min_z\; -\log p\bigl(y^{(n)} \mid G(z), \gamma\bigr)
    + \tfrac12 \bigl| (x(z) - \bar x) / \tau \bigr|^2,

Under normal noise this is weighted least squares with a weak normal prior in the unbounded
coordinates x (logarithms of positive parameters). The prior's mean and standard deviation come from
draws as broad as the study's first design, about the start of the search. The prior only matters
where a system's own data carry little information, as for the fine modes of a field: these stay
near zero, and the field's length is overestimated, without bound if the data are weak. The noise is
then the maximum likelihood estimate from the residuals, and both steps are repeated. In the second
stage the law is the maximum likelihood estimate from the fitted parameters, as though they were
known.

The method has a well-known bias, which does not vanish with more systems. The fitted parameters
scatter by their own error in addition to the population's spread. The law is therefore too wide if
systems are weakly determined (until, at very strong noise, the prior holds them). Each fit also
absorbs part of the noise, so the noise is too small, by the factor 1 - d_z / d_y in the variance of
isotropic noise if the model is linear. If parameters and observations are equally many, the noise
would vanish without the prior. A noise with many parameters can become singular along the absorbed
directions. The method is the standard two-stage method of population pharmacokinetics (see Steimer,
Mallet, Golmard and Boisvieux, Drug Metab. Rev. 15, 1984); the prior and the alternation with the
noise are this package's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.densities import density_of, log_likelihood
from popinv.inference.density.density import AtSignal
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.optimisation.minimisation import minimise
from popinv.population.synthetic import broad_parameters
from popinv.threads import fixed_threads
from popinv.workers import blocks_of, parallel

_DESIGN_DRAWS = 2000
# Systems are fitted in blocks, which processes share, and whose derivatives fit into memory.
_BLOCK = 250
_LEVENBERG_STEPS = 30
_FIRST_DAMPING = 1e-2
# This change of twice the log-likelihood is far below the resolution of a system's own data. A
# system has converged if it has had no larger change for some steps.
_SETTLED, _QUIET_STEPS = 1e-2, 3
# Rounds end if no entry of gamma moves by more, or after this number of rounds.
_NOISE_SETTLED, _ALTERNATIONS = 1e-3, 6


@dataclass(frozen=True)
class SystemPrior:
    """The normal prior of each system in unbounded coordinates: mean and deviation, (d_z,)."""

    mean: torch.Tensor
    deviation: torch.Tensor


@dataclass(frozen=True)
class TwoStage:
    """The answer (alpha, gamma), and the fitted parameters z (N, d_z) behind it."""

    alpha: np.ndarray
    gamma: np.ndarray
    z: np.ndarray


def first_design_prior(problem: Problem, alpha: np.ndarray) -> SystemPrior:
    """Return the moments of a broad design about alpha, which varies by ``Problem.scale``."""
    spread = problem.scale[: problem.d_alpha]
    known = problem.known.in_turns(_DESIGN_DRAWS)
    address = (problem.seed, "two_stage", _DESIGN_DRAWS)
    drawn = broad_parameters(problem.law, alpha, spread, *address, known)
    x = problem.law.unbounded(torch.from_numpy(drawn[:, : problem.law.d_z]))
    return SystemPrior(x.mean(dim=0), x.std(dim=0))


def _derivatives(
    model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the model (n, d_y) and its derivatives (n, d_y, d_x), row by row."""
    columns = []
    for direction in torch.eye(x.shape[1], dtype=x.dtype):
        both = torch.func.jvp(model, (x,), (direction.expand_as(x),))
        columns.append(both[1])
    return both[0], torch.stack(columns, dim=2)


def fit_systems(
    problem: Problem, gamma: np.ndarray, prior: SystemPrior, x: torch.Tensor
) -> torch.Tensor:
    """Return each system's fit in unbounded coordinates, (N, d_z), from the starts x (N, d_z).

    All systems of a block take Levenberg-Marquardt steps together. A step that does not lower a
    system's own objective is refused, and the system's damping is raised.
    """

    def of_block(rows: np.ndarray) -> np.ndarray:
        return _fit_block(problem.of_systems(rows), gamma, prior, x[rows]).numpy()

    found = list(parallel(of_block, blocks_of(len(x), _BLOCK), "two-stage fits"))
    return torch.from_numpy(np.concatenate(found))


def _fit_block(
    problem: Problem, gamma: np.ndarray, prior: SystemPrior, x: torch.Tensor
) -> torch.Tensor:
    density = density_of(replace(problem, free_noise=False), torch.from_numpy(gamma))

    def model(point: torch.Tensor) -> torch.Tensor:
        return _signal(problem, problem.law.bounded(point))

    def objective(point: torch.Tensor, at: AtSignal) -> torch.Tensor:
        prior_value = (((point - prior.mean) / prior.deviation) ** 2).sum(dim=1)
        return torch.nan_to_num(prior_value - 2 * at.log, nan=torch.inf)

    precision = torch.diag(prior.deviation**-2)
    damping = torch.full((len(x),), _FIRST_DAMPING, dtype=x.dtype)
    quiet = torch.zeros(len(x), dtype=torch.int64)
    for _ in range(_LEVENBERG_STEPS):
        y, slopes = _derivatives(model, x)
        here = density.at(y)
        descent = (slopes.transpose(1, 2) @ here.slope[:, :, None])[:, :, 0]
        descent = descent - (x - prior.mean) / prior.deviation**2
        matrix = density.information(y, slopes) + precision
        matrix = matrix + damping[:, None, None] * torch.diag_embed(
            torch.diagonal(matrix, dim1=1, dim2=2)
        )
        trial = x + torch.linalg.solve(matrix, descent)
        gain = objective(x, here) - objective(trial, density.at(model(trial)))
        # A converged system keeps its fit, whatever the other systems of its block do.
        better = (gain > 0) & (quiet < _QUIET_STEPS)
        x = torch.where(better[:, None], trial, x)
        damping = torch.where(better, damping / 5, damping * 10)
        quiet = torch.where(better & (gain > _SETTLED), 0, quiet + 1)
        if (quiet >= _QUIET_STEPS).all():
            break
    return x


def _signal(problem: Problem, z: torch.Tensor) -> torch.Tensor:
    """Return G at parameters z (N, d_z), with each system's own design."""
    return problem.simulate(torch.cat([z, problem.known.design.to(z.dtype)], dim=1))


def _noise_of(problem: Problem, signal: torch.Tensor, start: np.ndarray) -> np.ndarray:
    """Return the maximum likelihood gamma for signals (N, d_y) taken as known."""
    with torch.enable_grad():
        return minimise(lambda gamma: -log_likelihood(problem, gamma, signal).mean(), start)


def _law_of(problem: Problem, z: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the maximum likelihood alpha for parameters z (N, d_z) taken as known."""
    law = problem.law
    if not law.covariates:
        return law.most_likely(z, start)
    fitted, covariates = torch.from_numpy(z), problem.known.covariates[:, : law.covariates]
    return minimise(lambda alpha: -law.log_density_given(alpha, fitted, covariates).mean(), start)


def two_stage(problem: Problem, start: tuple[np.ndarray, np.ndarray]) -> TwoStage:
    """Fit the law and the noise in two stages.

    Parameters
    ----------
    problem : Problem
        Its noise may be of any kind, and the known quantities of its systems are used.
    start : (alpha, gamma)
        Unconstrained. The prior of a system is centred at this alpha.

    Raises
    ------
    NotImplementedError
        If the law has no density in closed form.
    DivergenceError
        If the fits, or the noise estimated from their residuals, are not finite.
    """
    alpha, gamma = (np.array(part, dtype=float) for part in start)
    with fixed_threads(), torch.no_grad():
        prior = first_design_prior(problem, alpha)
        x = prior.mean.expand(len(problem.data), -1).clone()
        for _ in range(_ALTERNATIONS):
            x = fit_systems(problem, gamma, prior, x)
            z = problem.law.bounded(x)
            signal = _signal(problem, z)
            if not torch.isfinite(signal).all():
                raise DivergenceError("two_stage: the fit of a system is not finite")
            before, gamma = gamma, _noise_of(problem, signal, gamma)
            if np.abs(gamma - before).max() < _NOISE_SETTLED:
                break
    fitted = z.numpy()
    with torch.enable_grad():
        return TwoStage(_law_of(problem, fitted, alpha), gamma, fitted)
