"""Predictions of new systems from a result: the arguments, and the sections that they change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.api.data import given_data
from popinv.api.functions import OwnFunction
from popinv.api.individuals import posterior_settings
from popinv.errors import ConfigError, DataError, require_known
from popinv.forward.base import Observations
from popinv.forward.datasets import names_in_file
from popinv.forward.external.section import ExternalSection
from popinv.forward.python.section import PythonFunction
from popinv.forward.section import ForwardSection
from popinv.inference.density.solver import SolverSimulator
from popinv.methods.posterior.prediction import Recovered, predict
from popinv.observation_files.column_units import units_in_names
from popinv.observation_files.fit import InMemory
from popinv.observation_files.new_systems import (
    TableForm,
    chosen_entries,
    new_table,
)
from popinv.observation_files.section import FileObservations
from popinv.population.model import Model, covariate_names
from popinv.population.stages.import_observations import new_observations, units_of_columns
from popinv.sections.messages import shown
from popinv.sections.tables import is_number, joint_times, text_frame
from popinv.surrogate.exact import ExactSimulator, of_section
from popinv.surrogate.simulator import is_exact
from popinv.workers import processes

if TYPE_CHECKING:
    from popinv.api.result import Result

THROUGH = ("surrogate", "solver")
# Draws of each system, for bands.
_KEPT = 400


def predict_of(
    result: Result,
    data: Any,
    *,
    at: Sequence[float | str] | None,
    through: str,
    known: Mapping[str, Any] | pd.DataFrame | None,
    seed: int | None,
    cores: int,
    settings: Mapping[str, Any],
) -> xr.Dataset:
    """Return predictions of new systems; see :meth:`popinv.api.result.Result.predict`."""
    require_known(through, THROUGH, f"through: got '{through}'")
    asked = posterior_settings("predict", {"kept_draws": _KEPT, **settings})
    if at is not None:
        at = [at] if isinstance(at, str) else np.atleast_1d(np.asarray(at, dtype=object)).tolist()
        if not at:
            raise ConfigError("at: is empty; leave it out to predict all places")
    if result.model.forward.is_random():
        raise ConfigError(
            "predictions are not made for a random simulator: they take the answer of the "
            "simulator for the observation without noise"
        )
    form = table_form(result)
    table = new_table(form, _source(data, form, known))
    model, forward = result.model, result.model.forward
    exact = is_exact(result.simulator)
    if exact and through == "solver":
        raise ConfigError("through: the simulator is exact already; leave 'through' out")
    rounded = form.section.time_tolerance is not None
    asked_times, of_table = _times_in(at or ()), [] if rounded else table.times
    if not exact:
        _check_surrogate(forward, of_table, asked_times, through)
    wide = _with_times(forward, [*asked_times, *of_table])
    own = int(result.population.attrs["seed"])
    rest = result.population, result.artefacts["check"], own, own if seed is None else seed

    def observed(of: ForwardSection) -> xr.Dataset:
        more = None if of is model.forward else of.observed(own)
        seen = form.read(table, model.forward.observed(own), more)
        return new_observations(seen, of, model.law, model.noise, table.section, seed=own)

    simulator, solver, elsewhere = result.simulator, None, None
    if exact:
        simulator = simulator if wide is forward else _exact(wide)
        forward = wide
    elif through == "solver":
        solver = SolverSimulator(forward.model(own))
        there = solver if wide is forward else SolverSimulator(wide.model(own))
        elsewhere = Recovered(Model(wide, model.law, model.noise), there, *rest), observed(wide)
    description = wide.observed(own)
    names = _names(result.observations, description)
    entries = np.arange(len(description)) if at is None else chosen_entries(at, names, description)
    recovered = Recovered(Model(forward, model.law, model.noise), simulator, *rest)
    with processes(cores):
        return predict(recovered, observed(forward), asked, entries, solver, elsewhere)


def table_form(result: Result) -> TableForm:
    """Return the form of the tables of a result's study."""
    config = json.loads(result.observations.attrs["config"]).get("observations") or {}
    section = FileObservations(file="data.csv")
    if "file" in config:
        section = FileObservations.model_validate(config)
    forward, law = result.model.forward, result.model.law
    centres = result.observations.get("covariate_centre")
    names = _names(result.observations, forward.observed(0))
    return TableForm(
        section,
        names,
        forward.design_names(),
        covariate_names(law, result.model.noise),
        () if centres is None else tuple(centres.values.tolist()),
        law.level_columns(),
        forward.timed_inputs(),
        units_in_names(names) | units_of_columns(result.observations),
    )


def _names(observations: xr.Dataset, description: Observations) -> list[str]:
    """Return the names of the observations of a system: those of the data, or numbers from 1."""
    count = len(description)
    named = names_in_file(observations)
    if named is not None and len(set(named[:count])) == count:
        return named[:count]
    if len(set(description.labels)) == count:
        return list(map(str, description.labels))
    return [str(i + 1) for i in range(count)]


def _source(
    data: Any, form: TableForm, known: Mapping[str, Any] | pd.DataFrame | None
) -> str | Path | InMemory:
    """Return new systems as the readers take them."""
    columns = isinstance(data, str | Path | pd.DataFrame | Mapping)
    if known is not None and columns and not isinstance(data, xr.Dataset):
        raise DataError("design and covariates of a table are columns of it; leave 'known' out")
    if isinstance(data, str | Path):
        return data
    if isinstance(data, Mapping) and not isinstance(data, xr.Dataset):
        several = any(np.ndim(each) for each in data.values())
        try:
            data = pd.DataFrame(data if several else {name: [each] for name, each in data.items()})
        except ValueError as error:
            raise DataError(f"data: {error}; give columns of one length") from None
    if isinstance(data, pd.DataFrame):
        if not isinstance(data.index, pd.RangeIndex) or data.index.name is not None:
            names = ["system" if name is None else str(name) for name in data.index.names]
            data = data.rename_axis(index=names).reset_index()
        return text_frame(data)
    if isinstance(data, xr.DataArray | xr.Dataset):
        return given_data(data, {}, (*form.design, *form.covariates), known).given
    try:
        values = np.atleast_2d(np.asarray(data, dtype=float))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"data: got a {type(data).__name__} ({error}); give the path of a table, a DataFrame, "
            "a mapping of columns, or an array with a row for each system"
        ) from None
    if values.ndim > 2 or values.shape[1] != len(form.names) or form.long:
        raise DataError(
            f"data: got an array of shape {values.shape}, but a row for each system with "
            f"{len(form.names)} observations is needed, NaN where nothing was observed"
            if not form.long
            else "data: the study's table has a row for each observation; give such a table, as a "
            f"DataFrame with the columns '{form.section.system_column}', "
            f"'{form.section.time_column}' and '{form.section.value_column}'"
        )
    frame = pd.DataFrame(values, columns=list(form.names))
    more = {} if known is None else dict(known)
    return text_frame(frame.assign(**{str(n): np.asarray(v) for n, v in more.items()}))


def _times_in(at: Sequence[float | str]) -> list[float]:
    return [float(each) for each in at if not isinstance(each, str) or is_number(each)]


def _with_times(forward: ForwardSection, more: Sequence[float]) -> ForwardSection:
    """Return a forward model with further times, or itself if it has them, or no times."""
    if not isinstance(forward, ExternalSection) or forward.observations.described_times() is None:
        return forward
    own = forward.observations.described_times() or []
    times = joint_times(own, more)
    if len(times) == len(own):
        return forward
    if not forward.takes_times():
        raise ConfigError(
            f"at: got the times {shown(sorted(set(times) - set(own))[:8])}, but the simulator "
            f"gives the observations at its own times, {own[0]:g} to {own[-1]:g}; only a function "
            "with an argument 'times' gives others"
        )
    simulated = forward.observations.asked_times() or own
    stated = forward.observations.simulated_times is not None
    if stated and not simulated[0] <= times[0] <= times[-1] <= simulated[-1]:
        raise ConfigError(
            f"at: got times from {times[0]:g} to {times[-1]:g}, but the simulator's own are "
            f"{simulated[0]:g} to {simulated[-1]:g} (forward.observations.simulated_times)"
        )
    return forward.wider(times)


def _exact(forward: ForwardSection) -> ExactSimulator:
    """Return the function itself as a simulator, at its times."""
    if isinstance(forward, OwnFunction):
        return forward.exact()
    assert isinstance(forward, PythonFunction)
    return of_section(forward)


def _check_surrogate(
    forward: ForwardSection, observed: Sequence[float], asked: Sequence[float], through: str
) -> None:
    """Refuse times that the surrogate has not learned."""
    if not isinstance(forward, ExternalSection) or forward.observations.described_times() is None:
        return
    own = forward.observations.described_times() or []
    strange = sorted(set(joint_times(own, observed)) - set(own))
    if strange:
        raise DataError(
            f"data: has values at the times {shown(strange[:8])}, but the surrogate has learned "
            f"{shown(own[:8])}{', ...' if len(own) > 8 else ''} alone; leave these rows out, or "
            "take the nearest of the study's times"
        )
    if through != "solver" and set(joint_times(own, asked)) - set(own):
        raise ConfigError(
            "at: the surrogate has learned the study's own times alone; "
            "through='solver' (--through solver) solves at others"
        )
