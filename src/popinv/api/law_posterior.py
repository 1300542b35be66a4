"""The posterior of law and noise of a result, in the groups that ArviZ reads."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.api import datatree
from popinv.api.tables import natural_draws
from popinv.inference.build import descent_problem, start
from popinv.inference.law_posterior import ChainSettings, LawPosterior, sample_law
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.problem import Problem
from popinv.inference.result import draws_of_answer, estimate_of, parameter_names
from popinv.inference.weak_prior import LogPrior, WeakPrior
from popinv.population.units import Described
from popinv.seeds import generator
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.api.result import Result

# Draws of the prior.
_PRIOR_DRAWS = 1000
_MEANING = "draws of the posterior of law and noise given all systems"


def law_posterior_of(
    result: Result,
    prior: LogPrior | None,
    chains: int,
    draws: int,
    warmup: int,
    predictive: bool | None,
) -> xr.DataTree:
    """Return the posterior; see :meth:`popinv.api.result.Result.posterior_of_law`."""
    seed = int(result.population.attrs["seed"])
    problem = descent_problem(
        result.model, result.observations, result.simulator, seed, "law_posterior"
    )
    prior = WeakPrior(problem, start(result.model, problem)) if prior is None else prior
    fewest = MarginalSettings().draws
    found = sample_law(
        problem,
        estimate_of(result.population),
        prior,
        ChainSettings(chains, draws, warmup),
        MarginalSettings(draws=draws_of_answer(result.population, fewest)),
    )
    names = parameter_names(problem)
    if reason := found.reason(names):
        warnings.warn(
            f"the posterior of the law is not reliable: {reason}. Ask for more draws "
            f"(draws={2 * draws}, warmup={2 * warmup}).",
            stacklevel=3,
        )
    alpha, gamma = found.p[..., : problem.d_alpha], found.p[..., problem.d_alpha :]
    values, described = natural_draws(result, alpha, gamma)
    forward, observations = result.model.forward, result.observations
    posterior = datatree.parameter_draws(values, described, _MEANING)
    return datatree.tree_of(
        {
            "posterior": posterior,
            "prior": _prior_draws(result, problem, prior),
            "log_likelihood": datatree.pointwise(
                found.log_likelihood, observations, forward.observed(0).name
            ),
            "sample_stats": _quality(found, problem, names),
            "posterior_predictive": result.predicted(predictive, alpha, gamma),
            "observed_data": datatree.observed_data(observations, forward),
            "constant_data": datatree.constant_data(observations, forward),
        },
        {
            "estimator": "posterior of the law",
            "through": "solver" if "surrogate" not in result.artefacts else "surrogate",
            "reason": reason,
            "divergences": str(found.divergences),
            "evaluations": str(found.evaluations),
            "effective_share": f"{found.effective_share:.3f}",
        },
    )


def _quality(found: LawPosterior, problem: Problem, names: tuple[str, ...]) -> xr.Dataset:
    """Return split R-hat and effective sample size of the entries that are sampled."""
    free = np.flatnonzero(problem.free)
    return xr.Dataset(
        {
            "r_hat": variable("parameter", found.r_hat[free], "split R-hat"),
            "effective_samples": variable(
                "parameter", found.effective[free], "bulk effective sample size"
            ),
        },
        coords={"parameter": ("parameter", np.array(names)[free])},
    )


def _prior_draws(result: Result, problem: Problem, prior: LogPrior) -> xr.Dataset | None:
    """Return draws of the prior for the parameters whose prior is proper, if it can be drawn."""
    if not hasattr(prior, "draws"):
        return None
    p = prior.draws(_PRIOR_DRAWS, generator(problem.seed, "law_posterior/prior"))
    # A flat prior has no draws, and a joint map would spread its NaN.
    filled = np.where(np.isnan(p), 0.0, p)
    values, described = natural_draws(result, *np.split(filled, [problem.d_alpha], axis=-1))
    proper = _proper(result, problem, np.isfinite(p).all(axis=0), described)
    kept: dict[str, Described] = {n: t for n, t in described.items() if n in proper}
    columns = [k for k, name in enumerate(described) if name in proper]
    if not columns:
        return None
    return datatree.parameter_draws(values[:, columns], kept, "draws of the prior")


def _proper(
    result: Result, problem: Problem, finite: np.ndarray, described: dict[str, Described]
) -> set[str]:
    """Return the names of the parameters that depend on no entry with a flat prior."""
    from popinv.inference.stated_values import stated_entries

    shown = np.flatnonzero(stated_entries(result.law))
    order = [*shown.tolist(), *range(problem.d_alpha, len(finite))]
    return {name for name, entry in zip(described, order, strict=True) if finite[entry]}
