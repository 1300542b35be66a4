r"""Draws of the posterior of law and noise, corrected for the surrogate's error, as a tree.

Through a surrogate, the chains sample :math:`\pi_S(p)`, the posterior with the surrogate S in place
of the forward model. Its error moves the maximum of the likelihood by a step that the study's
estimate knows (:mod:`popinv.inference.uncertainty.surrogate_bias`),

.. math:: \delta = \hat p - \hat p_S, \qquad \operatorname{cov} \delta = C,

and the draws move by :math:`\delta + \varepsilon` with independent
:math:`\varepsilon \sim N(0, C)`. This is exact to first order: for a normal posterior, whose centre
the error moves. An answer through the forward model itself has :math:`\delta` from the maximum
through the surrogate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from popinv.inference.answer.result import draws_of_answer, estimate_of, parameter_names
from popinv.inference.answer.stated_values import named_apart, read_draws
from popinv.inference.checks.fitted_samples import predicted_draws
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.uncertainty.intervals import boundaries
from popinv.inference.uncertainty.law_posterior import (
    ChainSettings,
    LawPosterior,
    LogPrior,
    sample_law,
)
from popinv.inference.uncertainty.surrogate_bias import solver_residuals
from popinv.population import datatree
from popinv.population.model import Model
from popinv.population.priors.prior import square_root
from popinv.population.priors.stated import ObservedScales, posterior_prior
from popinv.population.units import Described
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.simulator import TrainedSurrogate, is_exact

STAGE = "law_posterior"
# Draws of the prior.
_PRIOR_DRAWS = 1000
_MEANING = "draws of the posterior of law and noise given all systems"


@dataclass(frozen=True)
class SurrogateStep:
    """The step of the draws that corrects them for the surrogate's error.

    Attributes
    ----------
    shift : ndarray of shape (n_p,)
    covariance : ndarray of shape (n_p, n_p)
    words : str
        What was done.
    """

    shift: np.ndarray
    covariance: np.ndarray
    words: str

    def applied(self, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return draws p (..., n_p), moved."""
        if not self.covariance.any():
            return p + self.shift
        return p + self.shift + rng.standard_normal(p.shape) @ square_root(self.covariance).T


def surrogate_step(
    problem: Problem, likelihood: xr.Dataset | None, settings: MarginalSettings
) -> SurrogateStep:
    """Return the correction for the surrogate's error, by the likelihood's estimate.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    likelihood : Dataset or None
        The likelihood's estimate; without one that passes, nothing is corrected.
    """
    size = len(problem.free)
    nothing = np.zeros(size), np.zeros((size, size))
    if is_exact(problem.simulate):
        return SurrogateStep(*nothing, "there is no surrogate")
    if likelihood is None or not likelihood.attrs["passes"]:
        words = "the surrogate's error is not included, as no likelihood's estimate knows it"
        return SurrogateStep(*nothing, words)
    if likelihood.attrs["through"] == "surrogate":
        shift = likelihood["correction"].values
        moved = "moved by the correction of the estimate, and " if shift.any() else ""
        words = f"the draws are {moved}widened by the error of the surrogate's effect"
        return SurrogateStep(shift, likelihood["correction_covariance"].values, words)
    p, restricted = estimate_of(likelihood), "restriction" in likelihood.attrs
    through = fit_marginal_likelihood(problem, p, settings, restricted=restricted).p
    known = problem.free & (np.diag(likelihood["covariance"].values) > 0)
    known[list(boundaries(likelihood))] = False
    words = "the draws are moved by the difference of the estimates through solver and surrogate"
    return SurrogateStep(np.where(known, p - through, 0.0), nothing[1], words)


@dataclass(frozen=True)
class LawDraws:
    """Draws of the posterior of a study's law and noise.

    Attributes
    ----------
    found : LawPosterior
        The draws of the chains.
    p : ndarray of shape (chains, draws, n_p)
        The draws, corrected for the surrogate's error.
    step : SurrogateStep
    """

    model: Model
    observations: xr.Dataset
    problem: Problem
    prior: LogPrior
    found: LawPosterior
    p: np.ndarray
    step: SurrogateStep

    @cached_property
    def reason(self) -> str:
        """Why the draws are poor, or ""."""
        kinds = (("law", self.problem.law.names), ("noise", self.problem.noise.names))
        return self.found.reason(tuple(named_apart(kind, n) for kind, own in kinds for n in own))

    def read(self, p: np.ndarray) -> tuple[np.ndarray, dict[str, Described]]:
        """Return draws (..., n_p) of all parameters (..., n) as users read them, and these."""
        law = self.model.law.law(self.model.forward)
        noise, split = self.problem.at_all_places.noise, [self.problem.d_alpha]
        return read_draws(self.model, law, noise, *np.split(p, split, axis=-1))

    def predicted(self, most: int, check: xr.Dataset) -> xr.Dataset | None:
        """Return observations predicted at up to ``most`` draws, evenly spaced in each chain."""
        chains, count, _ = self.p.shape
        kept = min(most // chains, count)
        if not kept:
            return None
        rows = np.linspace(0, count - 1, kept).round().astype(int)
        problem = self.problem.at_all_places
        samples = predicted_draws(problem, self.p[:, rows], solver_residuals(problem, check))
        return datatree.predictive_data(samples, self.observations, self.model.forward)

    def prior_draws(self) -> xr.Dataset | None:
        """Return draws of the parameters that depend on no entry with a flat prior, if any."""
        if not hasattr(self.prior, "draws"):
            return None
        p = self.prior.draws(_PRIOR_DRAWS, generator(self.problem.seed, f"{STAGE}/prior"))
        # A flat prior has no draws, and a joint map would spread its NaN.
        filled = np.where(np.isnan(p), 0.0, p)
        values, described = self.read(filled)
        moved, _ = self.read(np.where(np.isnan(p), 1.0, p))
        proper = np.flatnonzero(np.all(values == moved, axis=0))
        if not len(proper):
            return None
        kept = {name: t for k, (name, t) in enumerate(described.items()) if k in proper}
        return datatree.parameter_draws(values[:, proper], kept, "draws of the prior")

    def tree(self, predictive: xr.Dataset | None) -> xr.DataTree:
        """Return the groups that ArviZ reads."""
        forward, observations, found = self.model.forward, self.observations, self.found
        name = forward.observed(0).name
        return datatree.tree_of(
            {
                "posterior": datatree.parameter_draws(*self.read(self.p), _MEANING),
                "prior": self.prior_draws(),
                "log_likelihood": datatree.pointwise(found.log_likelihood, observations, name),
                "sample_stats": self._quality(),
                "posterior_predictive": predictive,
                "observed_data": datatree.observed_data(observations, forward),
                "constant_data": datatree.constant_data(observations, forward),
            },
            {
                "estimator": "posterior of the law",
                "through": "solver" if is_exact(self.problem.simulate) else "surrogate",
                "surrogate_error": self.step.words,
                "reason": self.reason,
                "divergences": str(found.divergences),
                "evaluations": str(found.evaluations),
                "effective_share": f"{found.effective_share:.3f}",
            },
        )

    def _quality(self) -> xr.Dataset:
        """Return split R-hat and effective sample size of the entries that are sampled."""
        free = np.flatnonzero(self.problem.free)
        names = np.array(parameter_names(self.problem))[free]
        return xr.Dataset(
            {
                "r_hat": variable("parameter", self.found.r_hat[free], "split R-hat"),
                "effective_samples": variable(
                    "parameter", self.found.effective[free], "bulk effective sample size"
                ),
            },
            coords={"parameter": variable("parameter", names, "entry of law or noise")},
        )


def law_draws(
    model: Model,
    stores: Mapping[str, xr.Dataset],
    simulator: TrainedSurrogate,
    seed: int,
    settings: ChainSettings,
    prior: LogPrior | None = None,
) -> LawDraws:
    """Sample the posterior of a study's law and noise.

    Parameters
    ----------
    stores : mapping of str to Dataset
        ``observations``, ``population`` and, if there is one, ``likelihood``.
    prior : LogPrior, optional
        :func:`popinv.population.priors.stated.posterior_prior` by default.

    Raises
    ------
    ConfigError
        If numpyro is not installed, or the default prior has no form for the model.
    DivergenceError
        If the likelihood cannot be computed at the estimate.
    """
    observations, population = stores["observations"], stores["population"]
    problem = descent_problem(model, observations, simulator, seed, STAGE)
    if prior is None:
        seen = ObservedScales.of(observations["y"].values, model.forward.observed(seed))
        prior = posterior_prior(model.law, model.noise, problem.law, problem.noise, seen)
    marginal = MarginalSettings(draws=draws_of_answer(population, MarginalSettings().draws))
    found = sample_law(problem, estimate_of(population), prior, settings, marginal)
    step = surrogate_step(problem, stores.get("likelihood"), marginal)
    p = step.applied(found.p, generator(seed, f"{STAGE}/surrogate"))
    return LawDraws(model, observations, problem, prior, found, p, step)
