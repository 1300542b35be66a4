"""The recovered parameters of a result as tables: estimates, standard errors, draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popinv.inference.answer.stated_values import (
    as_read,
    named_apart,
    read_names,
    read_slopes,
    stated_entries,
)
from popinv.inference.uncertainty.intervals import boundaries
from popinv.population.laws.base import Law
from popinv.population.noise.terms import Noise
from popinv.population.observe import system_names
from popinv.population.units import (
    Described,
    covariate_centres,
    law_parameters,
    noise_parameters,
)

if TYPE_CHECKING:
    from popinv.api.result import Result


_STEP = 1e-5


def summary(result: Result) -> pd.DataFrame:
    """Return the recovered parameters, one a row; see :meth:`popinv.api.result.Result.summary`."""
    noise = result.noise
    parts = [_law_rows(result)]
    if "summary" in result.population:
        parts.append(_summary_rows(result))
    parts += _combination_rows(result)
    parts.append(
        _table(
            _described(result, "noise", noise.names),
            "noise",
            [result.population[key].values for key in ("noise", "noise_lower", "noise_upper")],
            _standard_errors(result, "noise", noise),
        )
    )
    table = pd.concat(parts)
    # The names are the names of the metrics, except for the prefix of the noise.
    true = {named_apart(p.kind, p.name): p.true for p in result.answer.parameters}
    given = [true.get(name) for name in table.index]
    if any(value is not None for value in given):
        table.insert(6, "true", np.array(given, dtype=float))
    return table


def _described(result: Result, kind: str, names: tuple[str, ...]) -> dict[str, Described]:
    described = (
        law_parameters(result.model, names, covariate_centres(result.observations))
        if kind == "law"
        else noise_parameters(result.model, names)
    )
    return {named_apart(kind, name): told for name, told in described.items()}


def _law_rows(result: Result) -> pd.DataFrame:
    law, population = result.law, result.population
    read, shown = as_read(law, population), stated_entries(law)
    slopes = read_slopes(law, population["law"].values)
    return _table(
        _described(result, "law", tuple(np.array(read_names(law))[shown].tolist())),
        "law",
        [read[key].values for key in ("law", "law_lower", "law_upper")],
        [(np.abs(slopes) * each)[shown] for each in _standard_errors(result, "law", law)],
    )


def _summary_rows(result: Result) -> pd.DataFrame:
    population = result.population
    names = tuple(str(name) for name in population["law_summary"].values)
    values = [population[f"summary{end}"].values for end in ("", "_lower", "_upper")]
    return _table(
        _described(result, "law", names), "law", values, [np.full(len(names), np.nan)] * 3
    )


def _combination_rows(result: Result) -> list[pd.DataFrame]:
    """Return the determined combination of parameters that the data do not determine, if known."""
    found = json.loads(result.population.attrs["determined_combinations"])
    if not found:
        return []
    told = {each["name"]: Described("1", "what the data determine of these") for each in found}
    values = [np.array([each[key] for each in found]) for key in ("value", "lower", "upper")]
    error = np.array([each.get("standard_error", np.nan) for each in found])
    return [_table(told, "law", values, [error, *[np.full(len(found), np.nan)] * 2])]


def _table(
    described: dict[str, Described],
    kind: str,
    values: Sequence[np.ndarray],
    error: Sequence[np.ndarray],
) -> pd.DataFrame:
    estimate, lower, upper = values
    return pd.DataFrame(
        {
            "estimate": estimate,
            "standard_error": error[0],
            "model_error": error[1],
            "robust_error": error[2],
            "lower": lower,
            "upper": upper,
            "units": [each.units for each in described.values()],
            "kind": kind,
            "description": [each.long_name for each in described.values()],
        },
        index=pd.Index(list(described), name="parameter"),
    )


def _standard_errors(result: Result, kind: str, family: Law | Noise) -> list[np.ndarray]:
    """Return standard errors of natural values, by the delta method; NaN where there are none.

    The three arrays are the errors of the answer, the model-based errors, and the robust errors.
    """
    population = result.population
    p = population["alpha" if kind == "law" else "gamma"].values
    first = 0 if kind == "law" else len(population["alpha"])
    part = slice(first, first + len(p))
    shifts = _STEP * np.eye(len(p))
    ends = [np.array([family.to_natural(p + sign * e) for e in shifts]) for sign in (1, -1)]
    jacobian = (ends[0] - ends[1]).T / (2 * _STEP)
    known = ~np.isnan(population[f"{kind}_lower"].values + population[f"{kind}_upper"].values)
    known[[i - first for i in boundaries(population) if part.start <= i < part.stop]] = False
    found = []
    for covariance in _covariances(result):
        own = np.einsum("ij,jk,ik->i", jacobian, covariance[part, part], jacobian)
        found.append(np.where(known, np.sqrt(np.maximum(own, 0.0)), np.nan))
    return found


def _covariances(result: Result) -> list[np.ndarray]:
    """Return the covariance that the intervals use, then both kinds; NaN where unknown."""
    population = result.population
    used = population["covariance"].values
    names = ("model_covariance", "robust_covariance")
    unknown = np.full_like(used, np.nan)
    return [used, *(population[n].values if n in population else unknown for n in names)]


def checks(result: Result) -> pd.DataFrame:
    """Return the judgements as a table; see :meth:`popinv.api.result.Result.check`."""
    every = result.judgements
    return pd.DataFrame(
        {
            "verdict": [each.verdict for each in every],
            "result": [each.short for each in every],
            "finding": [each.finding for each in every],
            "meaning": [each.meaning for each in every],
        },
        index=pd.Index([each.name for each in every], name="check"),
    )


def influence(result: Result, tolerance: float) -> pd.DataFrame:
    """Return how far the answer moves without each system; see :meth:`Result.influence`."""
    # Imported here: a session without this table need not load the method.
    from popinv.methods.withdrawal.influence import influence_of, influence_table

    answer, law, noise = result.population, result.law, result.noise
    split, observations = len(law.names), result.observations
    systems = system_names(observations) or [str(n) for n in range(observations.sizes["system"])]

    def natural(p: np.ndarray) -> np.ndarray:
        return np.concatenate([law.to_natural(p[:split]), noise.to_natural(p[split:])])

    names = [str(name) for name in answer["estimated"].values]
    p = np.concatenate([answer["alpha"].values, answer["gamma"].values])
    table = influence_table(natural, influence_of(answer), p, names, systems, tolerance)
    return table.set_index("system")
