r"""Identifiability of the law and the noise from N observations.

With D the derivatives of the moments of :mod:`popinv.inference.integrate.moments` (mean,
covariance, some third moments, each in sampling standard deviations of one system) with respect to
p = (alpha, gamma), and S the natural scale of each parameter, the singular values of

.. math:: \sqrt{N}\, D\, S

are the changes of the moments, in standard errors of N systems, as the parameters move by their
whole scale along a direction. The inverse of the information ``N D^T D`` gives the standard errors
that these moments allow. Without the third moments the information is given by the Slepian-Bangs
formula,

.. math::
    I_{ij} = N \bigl( \partial_i m^T C^{-1} \partial_j m
             + \tfrac12 \operatorname{tr} C^{-1} \partial_i C\, C^{-1} \partial_j C \bigr).

If the moments move by less than about one standard error over the whole scale, they do not
determine that direction. A warning then names the direction. Other moments could still determine
it.

The scale of a logarithm is its spread in the first design. The scale of a location is the change
that moves the mean observation by one standard deviation (root mean square over observations), so
units do not matter. The curvature of the prior counts as information.

D comes from draws, and their errors would appear as information, which grows with the number of
moments. D is therefore computed twice from independent draws, as D_1 and D_2, and ``D^T D`` is
estimated by the symmetric part of ``D_1^T D_2``, in which the errors average to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.inference.density.member_blocks import first_blocks
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.moments import (
    matched_normals,
    noise_derivatives,
    reference_moments,
    signal_derivatives,
)
from popinv.inference.integrate.penalty import noise_penalty
from popinv.inference.integrate.pseudo import evaluate
from popinv.late import torch
from popinv.population.priors.prior import Prior, nonnegative
from popinv.seeds import generator
from popinv.threads import fixed_threads

# Scale of a coefficient of a law of no prescribed shape, in standard deviations of its prior.
_PRIOR_SCALE = 2.0
# A singular value below this, in standard errors over the whole scale, gives a warning.
_LEAST_MOVEMENT = 1.0
# Further directions are counted, not named. The text gives at most this many entries of each.
_NAMED, _ENTRIES = 3, 3
# The law's or the noise's part of a direction is named if its length exceeds the first number. Its
# entries are named if they are at least the second number's share of the largest.
_LEAST_PART, _LEAST_ENTRY = 0.02, 0.1
_BY = "mean, covariance and third moments of the observations"
_BY_KNOWN = "mean and covariance of the observations, given the known quantities of each system,"
_BY_LIKELIHOOD = "scores of the likelihood"


@dataclass(frozen=True)
class Identifiability:
    """Predicted standard errors in the unconstrained coordinates, and the weakest directions.

    Attributes
    ----------
    standard_errors : ndarray of shape (n_p,)
        Zero for parameters that are held.
    singular_values : ndarray of shape (n_free,)
        In descending order: changes of the moments over the whole scale, in standard errors.
    directions : ndarray of shape (n_free, n_p)
        The corresponding unit vectors, in units of the parameters' scales. A direction has no sign:
        the largest entry is positive.
    weakest_error : float
        Predicted standard error along the weakest direction, in the same units.
    scales : ndarray of shape (n_p,)
        The parameters' scales; zero for parameters that are held.
    systems, d_alpha : int
        N, and the number of parameters of the law.
    by : str
        The moments that the prediction uses, in words.
    """

    standard_errors: np.ndarray
    singular_values: np.ndarray
    directions: np.ndarray
    weakest_error: float
    scales: np.ndarray
    systems: int
    d_alpha: int
    by: str

    @property
    def weakest(self) -> np.ndarray:
        """The least determined direction, a unit vector (n_p,) in units of the scales."""
        return self.directions[-1]

    @property
    def warned(self) -> np.ndarray:
        """Boolean mask (n_free,) of the directions that the observations do not determine."""
        return self.singular_values < _LEAST_MOVEMENT

    def describe_weakest(self, names: tuple[str, ...]) -> str:
        """Return the weakest direction in the user's names, with the largest entries first."""
        return _named(self.weakest, names, range(len(names)))

    def warning(self, names: tuple[str, ...]) -> str:
        """Return the undetermined directions in the user's names, or "none"."""
        weak = np.flatnonzero(self.warned)[::-1]
        if not len(weak):
            return "none"
        named = "; ".join(
            f"{self._trade(i, names)} ({self.singular_values[i]:.2g})" for i in weak[:_NAMED]
        )
        more = f"; and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
        return (
            f"{self.systems} systems do not determine {len(weak)} combination"
            f"{'s' if len(weak) > 1 else ''} of the parameters. Along these directions, the "
            f"{self.by} move by less than one standard error (in brackets: by how many) over the "
            "parameters' whole scale, so that the observations do not determine the answer there: "
            f"{named}{more}"
        )

    def _trade(self, i: int, names: tuple[str, ...]) -> str:
        # The many parameters of a noise would otherwise hide the parameters of the law.
        parts = (range(self.d_alpha), range(self.d_alpha, len(names)))
        return " ".join(filter(None, (_named(self.directions[i], names, p) for p in parts)))


def _named(direction: np.ndarray, names: tuple[str, ...], among: range) -> str:
    sizes = np.abs(direction[among.start : among.stop])
    if np.linalg.norm(sizes) < _LEAST_PART:
        return ""
    # An entry that rounds to zero carries no information either.
    least = max(0.005, _LEAST_ENTRY * sizes.max())
    order = among.start + np.argsort(-sizes, kind="stable")[:_ENTRIES]
    return " ".join(f"{direction[i]:+.2f} {names[i]}" for i in order if abs(direction[i]) >= least)


def _oriented(vectors: np.ndarray) -> np.ndarray:
    """Return columns with a positive largest entry (the first of nearly equal ones)."""
    sizes = np.abs(vectors)
    largest = np.argmax(sizes > 0.999 * sizes.max(axis=0), axis=0)
    return vectors * np.where(np.take_along_axis(vectors, largest[None], axis=0) < 0, -1.0, 1.0)


def identifiability(
    problem: Problem,
    alpha: np.ndarray,
    gamma: np.ndarray,
    samples: int = 4000,
    information: np.ndarray | None = None,
) -> Identifiability:
    """Predict the precision that the problem's N observations allow at (alpha, gamma).

    If systems have noise scales s, the covariance is the population's, with the mean of s^2 times
    Gamma. The information in the scale of each single system is left out. Missing entries are
    ignored: the prediction assumes that every entry of every system was observed.

    Systems with a design or covariates have moments of their own, and noise that varies has moments
    that depend on the law. The prediction is then the information of the pseudo-likelihood, the sum
    over the systems of the information of mean and covariance at their own known quantities. The
    prediction then has no third moments, and missing entries count. Degrees of freedom of the noise
    count as known. Of large groups, some members count
    (:mod:`popinv.inference.density.member_blocks`).

    Parameters
    ----------
    problem : Problem
        Parameters that it holds count as known.
    alpha, gamma : ndarray
        Unconstrained.
    samples : int
        Draws of the law, in two independent halves; more if the law has many random numbers.
    information : ndarray of shape (n_p, n_p), optional
        The information of the likelihood, if the likelihood gives the answer. It replaces the
        information of the moments, and the scores replace the moments.
    """
    p = np.concatenate([alpha, gamma])
    if information is not None:
        # This information has the curvature of the prior.
        return _of_information(problem, information, _BY_LIKELIHOOD, problem.prior.own, p)
    problem = first_blocks(problem.of_moments)
    if problem.known.width or problem.noise_varies:
        return _of_known(problem, alpha, gamma, p)
    width = problem.law.d_omega
    pairs = max(samples // 4, 2 * width)
    halves = [
        matched_normals(generator(problem.seed, "identifiability", half), pairs, width)
        for half in range(2)
    ]
    law, noise = torch.from_numpy(np.array(alpha)), torch.from_numpy(np.array(gamma))
    with fixed_threads(), torch.no_grad():
        moments = reference_moments(problem, law, noise, torch.cat(halves))
        of_noise = noise_derivatives(problem, noise, moments)
        one, two = (
            np.concatenate([signal_derivatives(problem, law, half, moments), of_noise], axis=1)
            for half in halves
        )
        free = problem.free
        scale = _scale(problem, (one + two)[: problem.data.shape[1]] / 2)[free]
        count = len(problem.data)
        product = count * (one[:, free] * scale).T @ (two[:, free] * scale)
    product = (product + product.T) / 2
    return _of_product(problem, product, scale, _BY, _curvature(problem, problem.prior, p))


def _of_known(
    problem: Problem, alpha: np.ndarray, gamma: np.ndarray, p: np.ndarray
) -> Identifiability:
    law, noise = torch.from_numpy(np.array(alpha)), torch.from_numpy(np.array(gamma))
    with fixed_threads(), torch.no_grad():
        moments = moments_of_systems(problem, law, noise, matched_draws(problem))
        information = evaluate(problem, moments).information
        information = information + noise_penalty(problem, noise).curvature
    of_law = problem.prior.among(np.arange(len(p)) < problem.d_alpha)
    return _of_information(problem, information, _BY_KNOWN, of_law, p)


def _curvature(problem: Problem, prior: Prior, p: np.ndarray) -> np.ndarray | None:
    """Return the curvature of a prior in the free parameters, or None if there is no prior."""
    if not prior:
        return None
    rows = np.flatnonzero(problem.free)
    return nonnegative(prior.curvature(p))[np.ix_(rows, rows)]


def _of_information(
    problem: Problem, information: np.ndarray, by: str, prior: Prior, p: np.ndarray
) -> Identifiability:
    """Return the prediction for an information that lacks the curvature of a prior at p."""
    free, seen = problem.free, int(problem.conditions.present.sum())
    # Each parameter's change of an observation, in standard deviations of the observation, as a
    # root mean square over the observations of all systems.
    moved = np.sqrt(np.maximum(np.diag(information), 0.0) / seen)[None]
    scale = _scale(problem, moved)[free]
    product = information[np.ix_(free, free)] * np.outer(scale, scale)
    return _of_product(problem, product, scale, by, _curvature(problem, prior, p))


def _of_product(
    problem: Problem,
    product: np.ndarray,
    scale: np.ndarray,
    by: str,
    prior: np.ndarray | None,
) -> Identifiability:
    """Return the prediction for the information of the free parameters in units of their scale."""
    free = problem.free
    if prior is not None:
        # Noise of the draws may leave negative information.
        values, vectors = np.linalg.eigh(product)
        product = (vectors * np.maximum(values, 0.0)) @ vectors.T
        product = product + prior * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(product)
    floor = max(values[-1], 1.0) * 1e-14
    variances = (vectors**2) @ (1 / np.maximum(values, floor))
    standard_errors = np.zeros(len(free))
    standard_errors[free] = np.sqrt(variances) * scale
    directions = np.zeros((len(values), len(free)))
    directions[:, free] = _oriented(vectors).T[::-1]
    scales = np.zeros(len(free))
    scales[free] = scale
    return Identifiability(
        standard_errors=standard_errors,
        singular_values=np.sqrt(np.maximum(values[::-1], 0.0)),
        directions=directions,
        weakest_error=float(1 / np.sqrt(max(values[0], floor))),
        scales=scales,
        systems=len(problem.data),
        d_alpha=problem.d_alpha,
        by=by,
    )


def _scale(problem: Problem, of_mean: np.ndarray) -> np.ndarray:
    """Return the scales (n_p,), from the whitened derivatives (d_y, n_p) of the mean."""
    moved = np.sqrt((of_mean**2).mean(axis=0))
    natural = 1 / np.maximum(moved, np.finfo(float).tiny)
    scale = np.where(problem.logarithmic | (moved == 0), problem.scale, natural)
    scale[problem.prior.own.entries] = _PRIOR_SCALE
    return scale
