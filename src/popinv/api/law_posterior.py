"""The posterior of law and noise of a result, in the groups that ArviZ reads."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import xarray as xr

from popinv.errors import ConfigError
from popinv.inference.checks.fitted_samples import CHEAP
from popinv.inference.uncertainty.law_posterior import ChainSettings, LogPrior
from popinv.methods.law_posterior.draws import law_draws
from popinv.methods.law_posterior.method import FEWEST

if TYPE_CHECKING:
    from popinv.api.result import Result


def law_posterior_of(
    result: Result,
    prior: LogPrior | None,
    settings: ChainSettings,
    predictive: bool | None,
) -> xr.DataTree:
    """Return the posterior; see :meth:`popinv.api.result.Result.posterior_of_law`."""
    _check(settings)
    stored = getattr(result.artefacts, "law_posterior", None)
    if stored is not None and prior is None and settings == ChainSettings():
        found: xr.DataTree = stored
        return found
    artefacts, seed = result.artefacts, int(result.population.attrs["seed"])
    drawn = law_draws(result.model, artefacts, result.simulator, seed, settings, prior)
    if drawn.reason:
        warnings.warn(
            f"the posterior of the law is not reliable: {drawn.reason}. Ask for more draws "
            f"(draws={2 * settings.kept}, warmup={2 * settings.warmup}).",
            stacklevel=3,
        )
    count = settings.chains * settings.kept
    if predictive is None:
        predictive = count * result.observations["y"].size <= CHEAP
    predicted = drawn.predicted(count, artefacts["check"]) if predictive else None
    return drawn.tree(predicted)


def _check(settings: ChainSettings) -> None:
    given = {"chains": settings.chains, "draws": settings.kept, "warmup": settings.warmup}
    for name, value in given.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < FEWEST[name]:
            raise ConfigError(
                f"posterior_of_law: {name}: got {value}, but it must be a whole number of at least "
                f"{FEWEST[name]}"
            )
