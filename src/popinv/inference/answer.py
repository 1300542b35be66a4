"""The answer of a study as one Dataset."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from popinv.artefacts import variable
from popinv.inference.identifiability import identifiability
from popinv.inference.problem import Problem
from popinv.inference.resampling import noise_interval, normal_interval
from popinv.inference.result import parameters_of

__all__ = ["population_dataset"]


def population_dataset(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the final descent, with intervals where systems were resampled, and predicted errors.

    ``law_lower`` and ``law_upper`` (and the same for ``noise``) are the ends of 95 % intervals in
    natural values; ``law_predicted_error`` is the standard error that the first three moments
    allow at this number of systems, in the unconstrained coordinates.
    """
    population = loaded["descent"].copy()
    alpha, gamma = parameters_of(population)
    if "resamples" in loaded:
        answers = loaded["resamples"]
        ends = {
            "law": map(problem.law.to_natural, normal_interval(alpha, answers["alpha"].values)),
            "noise": noise_interval(problem.noise, gamma, answers["gamma"].values),
        }
        for name, (low, high) in ends.items():
            dim, long_name = f"{name}_parameter", f"end of the 95 % interval of the {name}"
            population[f"{name}_lower"] = variable(dim, low, f"lower {long_name}")
            population[f"{name}_upper"] = variable(dim, high, f"upper {long_name}")
    if "sampling_error" in loaded:
        population = population.merge(loaded["sampling_error"], combine_attrs="override")
    known = identifiability(problem, alpha, gamma)
    names = problem.law.names + problem.noise.names
    d_alpha = problem.d_alpha
    for name, dim, part in (
        ("law", "law_parameter", slice(None, d_alpha)),
        ("noise", "noise_parameter", slice(d_alpha, None)),
    ):
        population[f"{name}_predicted_error"] = variable(
            dim,
            known.standard_errors[part],
            f"standard error of the {name}, unconstrained, that three moments allow",
        )
    population["identifiability_singular_values"] = variable(
        "direction",
        known.singular_values,
        "standard errors by which the moments move over the parameters' whole scale",
    )
    return population.assign_attrs(
        identifiability_warning=known.warning(names),
        weakest_direction=known.describe_weakest(names),
        weakest_direction_error=known.weakest_error,
    )
