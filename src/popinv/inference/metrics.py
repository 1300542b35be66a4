"""The metrics of a study's answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from popinv.inference.accuracy import law_errors, ratio, relative_frobenius_error, root_mean_square
from popinv.inference.intervals import boundaries
from popinv.inference.law_summary import law_summary
from popinv.inference.model_comparison import information_criteria
from popinv.inference.noise_share import noise_share_metrics
from popinv.inference.problem import Problem
from popinv.inference.reading import read_names, read_values, stated_entries
from popinv.inference.sampling_error import sampling_error_metrics
from popinv.inference.standard_errors import by_information
from popinv.inference.surrogate_intervals import held_out_solves
from popinv.surrogate.collect import Thresholds, failure_counts
from popinv.surrogate.simulator import is_exact

Tests = Callable[[Problem, Mapping[str, xr.Dataset], int], dict[str, float | int | str]]

# An estimate, and the ends of its interval, by the endings of their names.
_ENDS = ("", "_lower", "_upper")


def metrics(
    problem: Problem,
    loaded: Mapping[str, xr.Dataset],
    null_resamples: int,
    thresholds: Thresholds,
    tests: Tests | None = None,
) -> dict[str, float | int | str]:
    """Return the flat table of a study's numbers; docs/metrics.md explains each.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``; and optionally ``sampling_error``,
        ``truth``, ``noise_known`` and ``law_known``.
    null_resamples : int
        Number of resamples of the null distribution of the discrepancy.
    tests : callable, optional
        Those of law, noise and simulator, :func:`popinv.inference.answer_tests.answer_tests`.
    """
    population, check = loaded["population"], loaded["check"]
    numbers: dict[str, float | int | str] = {
        "systems": len(problem.data),
        "observations_per_system": int(problem.conditions.present.sum(axis=1).max()),
    }
    hidden = _hidden(problem)
    for label, name in (("alpha", "law"), ("noise", "noise")):
        for parameter in population[f"{name}_parameter"].values:
            if name == "law" and str(parameter) in hidden:
                continue
            row = population.sel({f"{name}_parameter": parameter})
            numbers[f"{label}_{parameter}"] = float(row[name])
            for end in ("lower", "upper"):
                # JSON has no infinity. An end that the data do not determine is left out.
                if np.isfinite(value := float(row[f"{name}_{end}"])):
                    numbers[f"{label}_{parameter}_{end}"] = value
            numbers[f"{label}_{parameter}_predicted_error"] = float(row[f"{name}_predicted_error"])
    numbers |= _medians(problem, population, loaded.get("truth"))
    numbers |= _undetermined(population)
    if "summary" in population:
        numbers |= _summaries(problem, population, loaded.get("truth"))
    numbers |= _estimators(problem, population)
    if not is_exact(problem.simulate):
        numbers |= _surrogate(population, check, thresholds)
    if (held_out := held_out_solves(problem, check)) is not None:
        numbers["surrogate_interval_coverage"] = held_out.coverage
    numbers |= noise_share_metrics(problem, population, loaded["observations"])
    if "truth" in loaded:
        numbers |= _against_truth(problem, population, loaded)
    if "sampling_error" in loaded:
        numbers |= sampling_error_metrics(
            population["noise_covariance"].values,
            population["sampling_error_covariance"].values,
            loaded["truth"]["noise_covariance"].values if "truth" in loaded else None,
            problem.conditions.mean_square_scale,
            taken_off=population.attrs["through"] == "solver" or "correction" in population,
        )
    return (
        numbers
        | ({} if tests is None else tests(problem, loaded, null_resamples))
        | {
            "solver_calls": int(check["solver_calls"].sum()),
            "solver_failures": int(check["solver_failures"].sum()),
            "solver_failure_reasons": failure_counts(check) or "none",
            "rounds_solved": int(np.sum(check["solver_calls"].values[:-1] > 0)),
            "identifiability_warning": str(population.attrs["identifiability_warning"]),
            "identifiability_by": str(population.attrs["identifiability_by"]),
            "weakest_direction": str(population.attrs["weakest_direction"]),
            "weakest_direction_error": float(population.attrs["weakest_direction_error"]),
        }
    )


def _hidden(problem: Problem) -> frozenset[str]:
    """Return the names of the law's entries that have no meaning of their own."""
    return frozenset(np.array(problem.law.names)[~stated_entries(problem.law)].tolist())


def _medians(
    problem: Problem, population: xr.Dataset, truth: xr.Dataset | None
) -> dict[str, float | int | str]:
    """Return the medians that are read in place of means, with intervals and the truth."""
    law, numbers = problem.law, dict[str, float | int | str]()
    ends = {end: read_values(law, population[f"law{end}"].values) for end in _ENDS}
    true = None if truth is None else read_values(law, truth["law"].values)
    for entry in law.medians:
        name = read_names(law)[entry]
        for end, read in ends.items():
            if np.isfinite(read[entry]):
                numbers[f"summary_{name}{end}"] = float(read[entry])
        if true is not None:
            numbers[f"summary_true_{name}"] = float(true[entry])
    return numbers


def _undetermined(population: xr.Dataset) -> dict[str, float | int | str]:
    """Return the parameters that are not determined, and what is determined of them."""
    names = json.loads(population.attrs["undetermined"])
    numbers: dict[str, float | int | str] = {"undetermined": ", ".join(names) or "none"}
    for each in json.loads(population.attrs["determined_combinations"]):
        for ending, key in zip(_ENDS, ("value", "lower", "upper"), strict=True):
            numbers[f"combination_{each['name']}{ending}"] = each[key]
    return numbers


def _summaries(
    problem: Problem, population: xr.Dataset, truth: xr.Dataset | None
) -> dict[str, float | int | str]:
    """Return moments, quantiles and correlations of the law, with intervals and the truth."""
    names = [str(name) for name in population["law_summary"].values]
    numbers: dict[str, float | int | str] = {}
    for i, name in enumerate(names):
        for suffix in ("", "_lower", "_upper"):
            numbers[f"summary_{name}{suffix}"] = float(population[f"summary{suffix}"].values[i])
    if truth is not None:
        true = law_summary(problem.law, truth["alpha"].values).values
        numbers |= {f"summary_true_{n}": float(v) for n, v in zip(names, true, strict=True)}
    return numbers


def _estimators(problem: Problem, population: xr.Dataset) -> dict[str, float | int | str]:
    """Return the chosen estimator, the differences of the others, and the efficiency."""
    attrs = population.attrs
    numbers: dict[str, float | int | str] = {
        "estimator": str(attrs["estimator"]),
        "estimator_reason": str(attrs["estimator_reason"]),
        "through": str(attrs["through"]),
        "estimator_arrived": int(attrs["arrived"]),
        "efficiency_bound": str(population["bound"].attrs["of"]),
        "agreement": str(attrs["agreement"]),
    }
    if "descent_arrived" in attrs:
        numbers["descent_arrived"] = int(attrs["descent_arrived"])
        numbers["descent_remaining"] = float(attrs["descent_remaining"])
    if "agreement_p_value" in attrs:
        numbers["agreement_p_value"] = float(attrs["agreement_p_value"])
    if "log_likelihood" in population:
        numbers["log_likelihood"] = float(population["log_likelihood"].sum())
    if "value_error" in attrs:
        numbers["log_likelihood_error"] = float(attrs["value_error"])
        systems = len(problem.data)
        value = float(population["log_likelihood"].sum())
        criteria = information_criteria(value, int(problem.free.sum()), systems)
        numbers["aic"], numbers["bic"] = criteria
    errors = np.sqrt(np.diag(population["covariance"].values))
    names = [name.replace(" ", "_") for name in population["estimated"].values]
    moves = errors > 0
    kinds = {
        kind: np.sqrt(np.maximum(np.diag(population[f"{kind}_covariance"].values), 0.0))
        for kind in ("model", "robust")
        if f"{kind}_covariance" in population
    }
    if kinds:
        numbers["standard_errors_by"] = "model" if by_information(problem) else "robust"
    natural = [_natural(problem, row) for row in population["estimates"].values]
    with np.errstate(divide="ignore", invalid="ignore"):
        efficiency = errors / population["bound"].values
    hidden = _hidden(problem)
    # What is not determined has no standard error, small though it is within what is.
    told = [*read_names(problem.law), *problem.noise.names]
    unknown = np.isin(told, json.loads(attrs["undetermined"]))
    for i in np.flatnonzero(moves & ~unknown):
        if names[i] in hidden:
            continue
        numbers[f"standard_error_{names[i]}"] = float(errors[i])
        for kind, own in kinds.items():
            numbers[f"{kind}_standard_error_{names[i]}"] = float(own[i])
        if np.isfinite(efficiency[i]):
            numbers[f"efficiency_{names[i]}"] = float(efficiency[i])
        for row, estimator in enumerate(population["estimator"].values):
            if np.isfinite(value := float(natural[row][i])):
                numbers[f"{estimator}_{names[i]}"] = value
                error = float(population["estimate_errors"].values[row, i])
                if np.isfinite(error):
                    numbers[f"{estimator}_{names[i]}_standard_error"] = error
    for entry, where in boundaries(population).items():
        numbers[f"boundary_{names[entry]}"] = where
    return numbers


def _natural(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return natural values; an unrestricted covariance stays as it is."""
    if problem.noise.unrestricted or not np.isfinite(p).all():
        return p
    return problem.natural(p)


def _surrogate(
    population: xr.Dataset, check: xr.Dataset, thresholds: Thresholds
) -> dict[str, float | int | str]:
    """Return the error of the surrogate and its effect on the answer."""
    errors = np.sqrt(np.diag(population["covariance"].values))
    moves = errors > 0
    pushed = np.abs(population["surrogate_shift"].values[moves]) / errors[moves]
    error, push = float(check["surrogate_error"].values[-1]), float(pushed.max(initial=0.0))
    return {
        "surrogate_whitened_rmse": error,
        "surrogate_threshold": thresholds.error,
        "surrogate_push": push,
        "surrogate_push_threshold": thresholds.push,
        "surrogate_good_enough": int(error < thresholds.error and push < thresholds.push),
    }


def _against_truth(
    problem: Problem, population: xr.Dataset, loaded: Mapping[str, xr.Dataset]
) -> dict[str, float | int | str]:
    truth = loaded["truth"]
    law, true_law = population["law"].values, truth["law"].values
    true_covariance = truth["noise_covariance"].values
    hidden = _hidden(problem)
    stated = [str(name) not in hidden for name in population["law_parameter"].values]
    errors = law_errors(law[stated], true_law[stated])
    covariance_error = relative_frobenius_error(
        population["noise_covariance"].values, true_covariance
    )
    numbers: dict[str, float | int | str] = {}
    for label, name in (("alpha", "law"), ("noise", "noise")):
        same = np.array_equal(truth[f"{name}_parameter"], population[f"{name}_parameter"])
        # A truth of another family has no values for this family's parameters.
        for parameter in truth[f"{name}_parameter"].values if same else ():
            if name == "law" and str(parameter) in hidden:
                continue
            value = truth[name].sel({f"{name}_parameter": parameter})
            numbers[f"{label}_true_{parameter}"] = float(value)
    numbers |= {
        "alpha_relative_error_max": float(errors.max()),
        "alpha_relative_error_rms": root_mean_square(errors),
        "noise_covariance_relative_frobenius_error": covariance_error,
    }
    if "noise_known" in loaded:
        oracle = loaded["noise_known"]["law"].values
        oracle_errors = law_errors(oracle[stated], true_law[stated])
        numbers["alpha_oracle_relative_error_rms"] = root_mean_square(oracle_errors)
        numbers["alpha_error_to_oracle"] = ratio(
            root_mean_square(errors), root_mean_square(oracle_errors)
        )
    if "law_known" in loaded:
        oracle_error = relative_frobenius_error(
            loaded["law_known"]["noise_covariance"].values, true_covariance
        )
        numbers["noise_oracle_relative_frobenius_error"] = oracle_error
        numbers["noise_error_to_oracle"] = ratio(covariance_error, oracle_error)
    return numbers
