r"""How well N observations can determine the law and the noise at all.

With D the derivatives of the moments of :mod:`popinv.inference.moments` (mean, covariance, some
third moments, each in sampling standard deviations of one system) with respect to p = (alpha,
gamma), and S the natural scale of each parameter, the singular values of

.. math:: \sqrt{N}\, D\, S

say by how many standard errors the moments of N systems move when the parameters go the whole
scale in a direction. The information ``N D^T D`` has as inverse the standard errors that these
moments allow; without the third moments it is that of the Slepian-Bangs formula,

.. math::
    I_{ij} = N \bigl( \partial_i m^T C^{-1} \partial_j m
             + \tfrac12 \operatorname{tr} C^{-1} \partial_i C\, C^{-1} \partial_j C \bigr).

A direction in which the moments move by less than about one standard error over the whole scale
is not determined by them. That is a warning, which names the direction. Moments that are not among
these could still determine it.

The scale of a logarithm is the first design's spread of it; a location has the scale on which it
moves the mean observation by a standard deviation, the root mean square over observations, so that
no unit matters.

D comes from draws, whose errors would pass for information, more so the more moments there are.
It is therefore computed twice from independent draws, D_1 and D_2, and ``D^T D`` estimated by the
symmetric part of ``D_1^T D_2``, in which the errors average to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from popinv.inference.moments import (
    matched_normals,
    noise_derivatives,
    reference_moments,
    signal_derivatives,
)
from popinv.inference.problem import Problem
from popinv.seeds import generator
from popinv.threads import fixed_threads

__all__ = ["Identifiability", "identifiability"]

# A singular value below this, in standard errors over the whole scale, is a warning.
_LEAST_MOVEMENT = 1.0
# More directions than this are counted, not named; of each, at most so many entries are told.
_NAMED, _ENTRIES = 3, 3
# The law's or the noise's part of a direction is named if it is at least so long, and in it the
# entries that are at least this share of the largest.
_LEAST_PART, _LEAST_ENTRY = 0.02, 0.1


@dataclass(frozen=True)
class Identifiability:
    """Predicted standard errors in the unconstrained coordinates, and what is known least.

    Attributes
    ----------
    standard_errors : ndarray of shape (n_p,)
        Zero for parameters that are held.
    singular_values : ndarray of shape (n_free,)
        Descending: standard errors by which the moments move over the whole scale.
    directions : ndarray of shape (n_free, n_p)
        The unit vectors, in units of the parameters' scales, that go with them.
    weakest_error : float
        Predicted standard error along the weakest direction, in the same units.
    systems, d_alpha : int
        N, and how many of the parameters are the law's.
    """

    standard_errors: np.ndarray
    singular_values: np.ndarray
    directions: np.ndarray
    weakest_error: float
    systems: int
    d_alpha: int

    @property
    def weakest(self) -> np.ndarray:
        """The direction known least, a unit vector (n_p,) in units of the scales."""
        return self.directions[-1]

    def describe_weakest(self, names: tuple[str, ...]) -> str:
        """Return the weakest direction in the user's names, largest entries first."""
        return _named(self.weakest, names, range(len(names)))

    def warning(self, names: tuple[str, ...]) -> str:
        """Return what the data cannot tell, in the user's names, or "none"."""
        weak = np.flatnonzero(self.singular_values < _LEAST_MOVEMENT)[::-1]
        if not len(weak):
            return "none"
        named = "; ".join(
            f"{self._trade(i, names)} ({self.singular_values[i]:.2g})" for i in weak[:_NAMED]
        )
        more = f"; and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
        return (
            f"{self.systems} systems do not determine {len(weak)} combination"
            f"{'s' if len(weak) > 1 else ''} of the parameters. Along these directions, the mean, "
            "covariance and third moments of the observations move by less than one standard "
            "error (in brackets: by how many) over the parameters' whole scale, so that the "
            f"observations leave the answer there open: {named}{more}"
        )

    def _trade(self, i: int, names: tuple[str, ...]) -> str:
        # A noise of many parameters would otherwise crowd out those of the law.
        parts = (range(self.d_alpha), range(self.d_alpha, len(names)))
        return " ".join(filter(None, (_named(self.directions[i], names, p) for p in parts)))


def _named(direction: np.ndarray, names: tuple[str, ...], among: range) -> str:
    sizes = np.abs(direction[among.start : among.stop])
    if np.linalg.norm(sizes) < _LEAST_PART:
        return ""
    # What rounds to zero says nothing either.
    least = max(0.005, _LEAST_ENTRY * sizes.max())
    order = among.start + np.argsort(-sizes, kind="stable")[:_ENTRIES]
    return " ".join(f"{direction[i]:+.2f} {names[i]}" for i in order if abs(direction[i]) >= least)


def identifiability(
    problem: Problem, alpha: np.ndarray, gamma: np.ndarray, samples: int = 4000
) -> Identifiability:
    """Predict what the problem's N observations can tell at (alpha, gamma).

    Where systems have noise scales s, the covariance is that of the population, with the mean of
    s^2 times Gamma; what is gained by knowing which system has which s is left out. Missing
    entries are not counted: the prediction is that of systems of which everything was seen.

    Parameters
    ----------
    problem : Problem
        Parameters that it holds count as known.
    alpha, gamma : ndarray
        Unconstrained.
    samples : int
        Draws of the law, in two independent halves; more if the law has many random numbers.
    """
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
        values, vectors = np.linalg.eigh((product + product.T) / 2)
    floor = max(values[-1], 1.0) * 1e-14
    variances = (vectors**2) @ (1 / np.maximum(values, floor))
    standard_errors = np.zeros(len(free))
    standard_errors[free] = np.sqrt(variances) * scale
    directions = np.zeros((len(values), len(free)))
    directions[:, free] = vectors.T[::-1]
    return Identifiability(
        standard_errors=standard_errors,
        singular_values=np.sqrt(np.maximum(values[::-1], 0.0)),
        directions=directions,
        weakest_error=float(1 / np.sqrt(max(values[0], floor))),
        systems=count,
        d_alpha=problem.d_alpha,
    )


def _scale(problem: Problem, of_mean: np.ndarray) -> np.ndarray:
    """Return the scales (n_p,), from the whitened derivatives (d_y, n_p) of the mean."""
    moved = np.sqrt((of_mean**2).mean(axis=0))
    natural = 1 / np.maximum(moved, np.finfo(float).tiny)
    return np.where(problem.logarithmic | (moved == 0), problem.scale, natural)
