"""The checked sections of a fit, made of the arguments of :func:`popinv.fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import TypeAdapter, ValidationError

from popinv.api.data import GivenData
from popinv.api.functions import Function, OwnFunction, differentiable
from popinv.config.data_files import check_outside_kinds, checked_split
from popinv.config.loading import load
from popinv.config.study import Study
from popinv.errors import ConfigError, DataError, nearest
from popinv.forward.inputs.section import Inputs
from popinv.forward.python.worker import takes
from popinv.observation_files.fit import IN_MEMORY, read_fitting
from popinv.observation_files.section import FileObservations
from popinv.population.kinds import Law, Noise
from popinv.population.laws.section import law_values
from popinv.population.members import known_of_members
from popinv.population.model import covariate_names
from popinv.population.stages.import_observations import import_observations
from popinv.population.synthetic import parameters as drawn_parameters
from popinv.sections.messages import explain, report
from popinv.sections.tables import text_frame
from popinv.sections.units import name_and_unit

_NAME, _SOURCE = "data", "popinv.fit"
# Number of systems in the first call of a function, which shows its arguments and its result.
_TRIED = 8


@dataclass(frozen=True)
class Wanted:
    """The arguments of a fit that state its model and its settings.

    Attributes
    ----------
    simulator : callable, mapping or str
    law, noise : mapping or None
    parameters, design : sequence of str or mapping, optional
        Parameters and design of a function.
    inputs : mapping, optional
        Keys of ``forward.inputs`` of a function, and ``table``.
    observations : mapping
        Keys of ``forward.observations``, for a function.
    sections : mapping of str to mapping
        Further sections of a study.
    """

    simulator: Function | Mapping[str, Any] | str
    law: Mapping[str, Any] | None
    noise: Mapping[str, Any] | None
    parameters: Sequence[Any] | None
    design: Sequence[Any]
    inputs: Mapping[str, Any] | None
    observations: Mapping[str, Any]
    vectorised: bool
    stochastic: bool
    sections: Mapping[str, Any]
    seed: int


def reading_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return further keywords of a fit, which are keys of the section ``observations``.

    Raises
    ------
    ConfigError
        If there is no such key.
    """
    allowed = sorted(set(FileObservations.model_fields) - {"file", "layout", "missing", "header"})
    for name in given:
        if name not in allowed:
            raise ConfigError(
                f"popinv.fit has no argument '{name}'.{nearest(name, allowed)} In addition to the "
                f"arguments in its signature, it takes {', '.join(allowed)}."
            )
    return dict(given)


def known_names(wanted: Wanted) -> tuple[str, ...]:
    """Return the names of design, covariates and levels, as far as the sections can be read."""
    design: tuple[str, ...] = tuple(each["name"] for each in map(_described, wanted.design))
    forward = wanted.simulator
    if isinstance(forward, Mapping):
        design = tuple(
            each if isinstance(each, str) else str(each.get("name"))
            for each in forward.get("design", ())
        )
    kinds: list[tuple[Any, Any]] = [(Law, wanted.law), (Noise, wanted.noise)]
    names = list(design)
    for kind, section in kinds:
        try:
            read = TypeAdapter(kind).validate_python(section)
            names += read.covariate_names()
            names += read.level_names() if kind is Law else ()
        except ValidationError:
            continue  # the message on the whole study reports the mistake
    return tuple(dict.fromkeys(names))


def study_of(wanted: Wanted, data: GivenData) -> tuple[Study, xr.Dataset]:
    """Return the sections of a fit, and its observations as a Dataset.

    Raises
    ------
    ConfigError
        With everything that is wrong with the sections.
    DataError
        If the observations cannot be read, or do not fit the forward model.
    SolverError
        If the simulator is a function that cannot be called.
    """
    simulator = wanted.simulator
    forward: Any = {"kind": simulator} if isinstance(simulator, str) else simulator
    if not isinstance(forward, Mapping):
        if not callable(simulator):
            raise ConfigError(
                f"the simulator is a {type(simulator).__name__}, but it must be a function, the "
                "section 'forward' of a study, such as {'kind': 'umbridge', ...}, or the name of a "
                "kind"
            )
        forward = _of_function(simulator, wanted, data)
    elif any(
        (
            wanted.parameters is not None,
            wanted.design,
            wanted.observations,
            wanted.inputs,
            wanted.stochastic,
        )
    ):
        raise ConfigError(
            "'parameters', 'design', 'inputs', 'observations' and 'stochastic' describe a "
            "function; a forward model states them as keys of its section"
        )
    sections = {"law": wanted.law, "noise": wanted.noise, **wanted.sections}
    study = {
        "forward": forward,
        "observations": data.section,
        **{name: section for name, section in sections.items() if section is not None},
    }
    try:
        checked = load({"seed": wanted.seed, "studies": {_NAME: study}}, _SOURCE).studies[_NAME]
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"studies.{_NAME}.", "")) from None
    seen = _observed(checked, data, wanted.seed)
    if isinstance(checked.forward, OwnFunction):
        own = checked.forward
        z = _few_inputs(checked, seen, wanted.seed)
        exact = differentiable(own, z) and not own.stochastic
        kept = own.having(cast(Function, simulator), differentiated=exact)
        checked = checked.model_copy(update={"forward": kept})
    return checked, seen


def _observed(study: Study, data: GivenData, seed: int) -> xr.Dataset:
    """Return the observations as a Dataset, after the checks that the workflow makes of a file."""
    section = cast(FileObservations, study.observations)
    forward, covariates = study.forward, covariate_names(study.law, study.noise)
    check_outside_kinds(_NAME, study, seed)
    try:
        forward.check_files()
    except ConfigError as error:
        raise ConfigError(f"simulator: {error}") from error
    _check_times(study, data)
    table = read_fitting(
        section,
        forward.observed(seed),
        forward.design_names(),
        covariates,
        data.given,
        levels=study.law.level_columns(),
        inputs=forward.timed_inputs(),
    )
    # Systems with times of their own leave gaps in every form, and may have no time in common.
    if not (study.noise.pools_observations and np.isnan(table.values).any()):
        checked_split(table, study, section, seed, IN_MEMORY)
    return import_observations(
        forward, study.law, section, study.noise, seed=seed, given=data.given
    )


def _of_function(function: Function, wanted: Wanted, data: GivenData) -> OwnFunction:
    """Return the section of a function, with the observations of the data."""
    names = wanted.parameters
    described = {**data.described, **wanted.observations}
    if data.numbered and "times" not in described and takes(function, "times"):
        described |= {"times": list(data.numbered), "count": 1}
    section = {
        "parameters": [_described(each) for each in names] if names else _named_by(wanted.law),
        "design": [_described(each) for each in wanted.design],
        "inputs": _inputs(wanted.inputs, data),
        "observations": described,
        "vectorised": wanted.vectorised,
        "stochastic": wanted.stochastic,
    }
    try:
        return OwnFunction.model_validate(section).having(function)
    except ValidationError as error:
        raise ConfigError(report(_SOURCE, explain(error, OwnFunction))) from None


def _inputs(given: Mapping[str, Any] | None, data: GivenData) -> Inputs | None:
    """Return the section of inputs over time, of a table in memory or of a file."""
    if given is None:
        return None
    keys = dict(given)
    frame = keys.pop("table", None)
    if frame is None and "file" not in keys:
        if not isinstance(data.given, pd.DataFrame):
            raise ConfigError(
                "inputs: the data are no table that could hold the inputs; give a DataFrame "
                "'table', or a 'file'"
            )
        table = data.given
    elif frame is not None:
        table = text_frame(frame)
    else:
        table = None
    keys.setdefault("file", "inputs")
    keys.setdefault("system_column", data.section.get("system_column"))
    try:
        section = Inputs.model_validate(keys)
    except ValidationError as error:
        raise ConfigError(report(_SOURCE, explain(error, Inputs))) from None
    return section if table is None else section.with_table(table)


def _described(parameter: Any) -> Any:
    """Return name and unit of a parameter as a mapping, for one that is named ``V [L]``."""
    if not isinstance(parameter, str):
        return dict(parameter)
    name, unit = name_and_unit(parameter)
    return {"name": name, "units": unit or "1"}


def _named_by(law: Mapping[str, Any] | None) -> list[str]:
    """Return the parameters in the order of the law's start."""
    start = (law or {}).get("start")
    names = [str(n) for n, each in start.items() if isinstance(each, Mapping)] if start else []
    if not names or (law or {}).get("fixed") or (law or {}).get("kind") == "mixture":
        raise ConfigError(
            "'parameters' must name the parameters of the simulator in the order in which it takes "
            "them, such as parameters=['ka [1/h]', 'V [L]']"
        )
    return names


def _check_times(study: Study, data: GivenData) -> None:
    """Refuse data whose times differ from the times of the forward model."""
    stated, places = data.described.get("times"), study.forward.observed(0)
    if stated is None or places.time_count is None or data.section.get("layout") == "long":
        return
    own = np.unique(places.coordinates[:, -1])
    if len(own) != len(stated) or not np.allclose(own, np.sort(stated), rtol=1e-6, atol=1e-9):
        raise DataError(
            f"the data have {len(stated)} times, {stated[0]:g} to {stated[-1]:g}, but the forward "
            f"model has {len(own)}, {own[0]:g} to {own[-1]:g}"
        )


def _few_inputs(study: Study, observations: xr.Dataset, seed: int) -> np.ndarray:
    """Return inputs (n, d_z) of a few systems, drawn from the start of the law."""
    law = study.law.law(study.forward)
    alpha = law_values(study.law, study.law.start, study.forward)
    few = known_of_members(observations).in_turns(_TRIED)
    return drawn_parameters(law, alpha, seed, "try", _TRIED, few)
