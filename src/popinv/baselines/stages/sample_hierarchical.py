"""Sample the joint posterior of law, noise and some of the systems: hierarchical Bayes."""

from __future__ import annotations

import xarray as xr

from popinv.baselines.hierarchical import posterior_dataset, sample_posterior
from popinv.inference.answer.result import parameters_of
from popinv.inference.density.build import descent_problem
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of


def sample_hierarchical(
    model: Model,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    estimate: xr.Dataset,
    *,
    seed: int,
) -> xr.Dataset:
    """Return the posterior mean of law and noise by the No-U-Turn sampler; it needs numpyro.

    Parameters
    ----------
    estimate : Dataset
        The estimate of the last round, where the chains start.
    seed : int
        The study's seed.
    """
    problem = descent_problem(model, observations, surrogate_of(surrogate), seed, "nuts")
    posterior = sample_posterior(problem, parameters_of(estimate))
    print(
        f"{posterior.systems} of {len(problem.data)} systems, {posterior.leapfrog_steps} steps, "
        f"{posterior.divergences} divergences, split R-hat {posterior.split_r_hat.max():.2f}"
    )
    return posterior_dataset(problem, posterior)
