"""The parameters of each system of a result, given its observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from pydantic import ValidationError

from popinv.charts.description import Grid, Sheet
from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError, DivergenceError
from popinv.figures.goodness_of_fit import SHOWN, fits_grid, goodness_of_fit
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.methods.posterior.method import Posterior
from popinv.methods.posterior.study import reported_truth, sampled, told_order, told_quantities
from popinv.methods.posterior.use import draw_systems, drawn_population
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.api.result import Result


def posterior_settings(call: str, settings: Mapping[str, Any]) -> Posterior:
    """Return the settings of a method of a result that draws posteriors.

    Raises
    ------
    ConfigError
        Naming the call, the setting and the settings that there are.
    """
    try:
        return Posterior.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(
            f"{call}(): {'.'.join(map(str, first['loc']))}: {first['msg']}; the settings are "
            f"{', '.join(Posterior.model_fields)}"
        ) from None


def posterior_of(result: Result, settings: Mapping[str, Any]) -> xr.Dataset:
    """Return the posterior of each system; see :meth:`popinv.api.result.Result.posterior`."""
    asked = posterior_settings("posterior", settings)
    if "posterior" in result.artefacts and not settings:
        found = result.artefacts["posterior"]
    else:
        told = told_quantities(result.model.forward, result.model.law)
        found, _ = sampled(
            _problem(result), result.population, result.observations, asked, told, _truth(result)
        )
    count = found.sizes["system"]
    names = found["system_id"].values if "system_id" in found.coords else np.arange(count)
    named = found.drop_vars("system_id", errors="ignore").assign_coords(
        system=variable("system", names, "system")
    )
    return named.isel(system=told_order(result.observations))


def fits(result: Result) -> dict[str, Figure]:
    """Return the figures of individual fits; see :meth:`popinv.api.figures.Plots.individuals`."""
    loaded = {name: result.artefacts[name] for name in ("observations", "population", "check")}
    fit = goodness_of_fit(result.problem, loaded)
    if fit is None:
        raise DivergenceError("no posterior mode of a system can be found at the answer")
    best, worst = fit.systems.ranked(SHOWN)
    grids = {
        name: (f"The systems with the {name} individual fits", fits_grid(fit, chosen))
        for name, chosen in (("worst", worst), ("best", best))
        if len(chosen)
    }
    grids["predicted"] = "Observed against predicted", Grid(fit.against_predicted(), 2)
    grids["residuals"] = "Residuals, in standard deviations", Grid(fit.residuals(), 2)
    if all(fit.against_known):
        grid = Grid(fit.parameters_against_known(), len(fit.against_known[1]))
        grids["covariates"] = "Parameters against covariates", grid
    return {name: drawn(_sheet(*titled)) for name, titled in grids.items()}


def _sheet(title: str, grid: Grid) -> Sheet:
    rows = -(-len(grid.panels) // grid.columns)
    return Sheet(title, 3.2 * grid.columns, 1.2 + 2.4 * rows, grid)


def intervals(result: Result, settings: Mapping[str, Any]) -> Figure:
    """Return the figure of the systems' intervals, beside the population and the truth."""
    told = told_quantities(result.model.forward, result.model.law)
    seed = int(result.population.attrs["seed"])
    population = told.of(drawn_population(_problem(result), estimate_of(result.population), seed))
    truth = _truth(result)
    found = posterior_of(result, settings)
    return drawn(draw_systems(found, population, None if truth is None else told.of(truth)))


def _problem(result: Result) -> Problem:
    seed = int(result.population.attrs["seed"])
    return descent_problem(result.model, result.observations, result.simulator, seed, "posterior")


def _truth(result: Result) -> np.ndarray | None:
    """Return the true parameters of the systems of a synthetic study."""
    if "truth" not in result.artefacts:
        return None
    return reported_truth(_problem(result), result.artefacts["truth"])
