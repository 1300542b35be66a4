"""Add systems to a result, in memory or from a file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.additions.estimates import SMALL
from popinv.additions.joined import added_sizes
from popinv.additions.stages.add_systems import add_systems
from popinv.api.data import given_data
from popinv.api.functions import OwnFunction
from popinv.errors import DataError
from popinv.inference.estimators.settings import DescentSettings, PolishSettings
from popinv.inference.stages.assess_population import assess_population
from popinv.inference.stages.gather_answer import gather_answer
from popinv.observation_files.added_tables import with_added
from popinv.observation_files.section import FileObservations, of_same_form
from popinv.population.model import covariate_names
from popinv.sections.base import plain
from popinv.sections.tables import text_frame
from popinv.sections.units import columns_called
from popinv.surrogate.simulator import is_exact
from popinv.threads import fixed_threads
from popinv.workers import processes
from popinv.workflow.run import StudyRun

if TYPE_CHECKING:
    from popinv.api.result import Result

# Artefacts that depend on the systems, besides those that are computed again.
_OF_SYSTEMS = ("truth", "noise_known", "law_known", "posterior", "sampling_error")
_STATED_BY = ("observations", "check", "distance", "likelihood", "population")
# Keys of a section of observations that state the form of a file.
_OF_FILE = {"file", "layout", "missing", "header", "without", "heldout_fraction"}
_NULL_RESAMPLES = 500


def added(
    result: Result,
    data: Any,
    known: Mapping[str, Any] | pd.DataFrame | None,
    inputs: str | Path | pd.DataFrame | None,
    tests: bool | None,
    cores: int,
) -> Result:
    """Return a result with further systems; see :meth:`popinv.Result.add`."""
    from popinv.api.result import Result

    config = _config(result)
    if "observations" not in config or config["observations"].get("file") is None:
        raise DataError(
            "the result does not say how its observations were read: it is of a synthetic study, "
            "or was stored by an older version. Fit all systems together instead"
        )
    section = FileObservations.model_validate(config["observations"])
    model, observations = result.model, result.observations
    seed = int(result.population.attrs["seed"])
    events = text_frame(inputs) if isinstance(inputs, pd.DataFrame) else inputs
    sections: dict[str, Any] = {
        "forward": model.forward,
        "law": model.law,
        "noise": model.noise,
        "estimator": config.get("estimator", "auto"),
        "polish": PolishSettings.model_validate(config.get("polish", {})),
        "descent": DescentSettings.model_validate(config.get("descent", {})),
        "observations": section,
    }
    if isinstance(data, str | Path):
        file, given = str(data), None
        sections["observations"] = of_same_form(section, file)
    else:
        covariates = covariate_names(model.law, model.noise)
        names = (*model.forward.design_names(), *covariates)
        columns = {
            key: value
            for key, value in plain(section).items()
            if key not in _OF_FILE and value != getattr(FileObservations(file="a.csv"), key)
        }
        form = given_data(_numbered_on(data, observations, section), columns, names, known)
        if isinstance(form.given, xr.Dataset) and not isinstance(data, xr.DataArray | xr.Dataset):
            numbers = observations.sizes["system"] + np.arange(form.given.sizes["system"])
            form = replace(form, given=form.given.assign_coords(system=numbers))
        given = form.given
        sections["observations"] = FileObservations.model_validate(form.section)
        file = sections["observations"].file
    if is_exact(result.simulator):
        sections["forward"] = with_added(
            model.forward, sections["observations"], file if given is None else given, events
        )
    artefacts = {n: each for n, each in result.artefacts.items() if n not in _OF_SYSTEMS}
    through: Any = result.simulator
    if sections["forward"] is not model.forward:
        config["forward"] = plain(sections["forward"])
        through = result.artefacts.get("surrogate")
        if isinstance(sections["forward"], OwnFunction):
            through = sections["forward"].exact()
    given_to = {**artefacts, "observations": observations, "surrogate": through}
    run = StudyRun(sections, given_to, seed)
    thresholds = config.get("thresholds") or {"error": 0.1, "push": 0.5}

    def keep(name: str, dataset: Any, rule: str) -> None:
        attrs = {"config": json.dumps({**config, "thresholds": thresholds}, sort_keys=True)}
        described = dataset.assign_attrs(**attrs, seed=seed, created_by=rule)
        artefacts[name] = given_to[name] = described

    with redirect_stdout(io.StringIO()), fixed_threads(), processes(cores):
        made = ("batch", "observations", "distance", "pseudo_likelihood", "likelihood")
        found = run.call(add_systems, file=file, given=given, inputs=events, thresholds=thresholds)
        for name, dataset in zip(made, found, strict=True):
            keep(name, dataset, "add_systems")
        keep("population", run.call(gather_answer), "gather_answer")
        null = config.get("assessment", {}).get("null_resamples", _NULL_RESAMPLES)
        if tests is None:
            whole = artefacts["observations"]
            tests = added_sizes(whole)[-1] > SMALL * whole.sizes["system"]
        answer = run.call(
            assess_population, thresholds=thresholds, null_resamples=null, tests=tests
        )
    return Result(artefacts, answer, simulator=result._function, name=result.name)


def _numbered_on(data: Any, observations: xr.Dataset, section: FileObservations) -> Any:
    """Return a table whose rows have no names of their own with numbers that go on."""
    index = getattr(data, "index", None)
    if not isinstance(index, pd.RangeIndex) or not isinstance(data, pd.DataFrame):
        return data
    count, column = observations.sizes["system"], section.system_column
    if index.name is None and column and not columns_called(list(map(str, data.columns)), column):
        return data.assign(**{column: range(count, count + len(index))})
    return data.set_axis(pd.RangeIndex(count, count + len(index), name=index.name))


def _config(result: Result) -> dict[str, Any]:
    """Return the sections that the artefacts of a result were made with."""
    config: dict[str, Any] = {}
    for name in _STATED_BY:
        if name in result.artefacts:
            config |= json.loads(result.artefacts[name].attrs.get("config", "{}"))
    return config
