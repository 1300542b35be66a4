"""The answer of a study as one Dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from popinv.errors import DivergenceError
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.answer.discrepancy_bands import discrepancy_dataset, size_ends
from popinv.inference.answer.law_summary import law_summary
from popinv.inference.answer.result import (
    estimate_of,
    estimated_coordinate,
    intrinsic_covariance,
    parameter_names,
    parameters_of,
)
from popinv.inference.answer.stated_values import read_names
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.choice import ESTIMATORS, choose, words
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.uncertainty.identifiability import Identifiability, identifiability
from popinv.inference.uncertainty.intervals import boundaries, intervals, settled
from popinv.inference.uncertainty.standard_errors import FEW_SYSTEMS
from popinv.inference.uncertainty.undetermined import Undetermined
from popinv.judgement.hausman import describe, hausman
from popinv.late import torch
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.simulator import is_exact

_TWICE = float(np.log(2.0))
# Draws from the estimate's normal law, for pictures and for null distributions with its error.
_DRAWS = 200
# Covariances of an estimate.
_COVARIANCES = ("covariance", "sampling_covariance", "model_covariance", "robust_covariance")
# If the other estimate's standard errors exceed the answer's by this factor, it is not compared.
_VAGUE = 10.0
# Variables of the chosen estimator that are part of the answer.
_KEPT = (
    "alpha",
    "gamma",
    "law",
    "noise",
    "noise_covariance",
    "covariance",
    "sampling_covariance",
    "model_covariance",
    "robust_covariance",
    "bread",
    "influence",
    "log_likelihood",
    "correction",
    "ends",
    "small_sample",
)


def population_dataset(
    problem: Problem, loaded: Mapping[str, xr.Dataset], wanted: str
) -> xr.Dataset:
    """Return the answer: the best estimate, its intervals, and the other estimates.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    loaded : mapping of str to Dataset
        ``distance``, ``pseudo_likelihood`` and ``likelihood``, and optionally
        ``sampling_error``.
    wanted : str
        "auto", or the estimator whose answer is chosen.

    Returns
    -------
    Dataset
        ``law``, ``noise`` and ``noise_covariance``, with ``law_lower``, ``law_upper`` (and the same
        for ``noise``), the ends of 95 % intervals in natural values; ``estimates`` and
        ``estimate_errors`` of each estimator, unconstrained; ``bound``, the standard error that the
        likelihood allows; ``law_predicted_error``, the standard error that the first moments allow.
    """
    estimates = {name: loaded[name] for name in ESTIMATORS}
    name, why = choose(estimates, wanted)
    chosen, found = _with_undetermined(problem, estimates[name], name)
    population = chosen[[key for key in _KEPT if key in chosen]].assign_attrs(
        estimator=name,
        estimator_reason=why,
        through=str(chosen.attrs.get("through", _simulator(problem))),
    )
    for part, (low, high) in _ends(problem, chosen, found).items():
        dim, long_name = f"{part}_parameter", f"end of the 95 % interval of the {part}"
        population[f"{part}_lower"] = variable(dim, low, f"lower {long_name}")
        population[f"{part}_upper"] = variable(dim, high, f"upper {long_name}")
    bands = discrepancy_dataset(problem, population)
    population = population.merge(bands).assign_attrs(bands.attrs)
    if problem.law.summarised:
        population = population.merge(_summary(problem, chosen))
    population = population.merge(_side_by_side(problem, estimates))
    population = population.merge(_draws(problem, chosen))
    if "sampling_error" in loaded:
        population = population.merge(loaded["sampling_error"], combine_attrs="override")
    if (intrinsic := intrinsic_covariance(problem, estimate_of(chosen))) is not None:
        population["intrinsic_covariance"] = variable(
            ("observation", "observation_other"),
            intrinsic,
            "covariance of the simulator's answer given its parameters, mean over the law",
        )
    population = _with_identifiability(population, found)
    descent = loaded["distance"]
    if "alpha" in descent:
        for key in ("law_path", "noise_path", "loss", "fixed_loss"):
            population[key] = descent[key]
        population = population.assign_attrs(
            descent_arrived=int(descent.attrs["arrived"]),
            descent_remaining=float(descent.attrs["remaining"]),
        )
    population["surrogate_shift"] = loaded["pseudo_likelihood"]["surrogate_shift"]
    return population.assign_attrs(_agreement(problem, estimates, name))


def _simulator(problem: Problem) -> str:
    """Return the name of the simulator of a problem."""
    return "solver" if is_exact(problem.simulate) else "surrogate"


@dataclass(frozen=True)
class _Found:
    """What the answer determines.

    Attributes
    ----------
    known : Identifiability
        By the likelihood if it gives the answer, otherwise by the moments.
    names : tuple of str
        Names of the entries of p.
    """

    known: Identifiability
    undetermined: Undetermined
    names: tuple[str, ...]


def _with_undetermined(
    problem: Problem, chosen: xr.Dataset, estimator: str
) -> tuple[xr.Dataset, _Found]:
    """Return the chosen estimate with covariances of the determined part, and this part."""
    held = sorted({*boundaries(chosen), *settled(chosen)})
    free = problem.held(held)
    known = moments = identifiability(free, *parameters_of(chosen))
    bread, likelihood = chosen["bread"].values, None
    information = np.zeros_like(bread)
    if estimator == "likelihood":
        information = restricted_inverse(bread, np.diag(bread) > 0)
        known = likelihood = identifiability(free, *parameters_of(chosen), information=information)
    through = chosen.attrs.get("through") if likelihood else None
    surrogate = (through or _simulator(problem)) == "surrogate"
    undetermined = Undetermined.of(moments, likelihood, information, surrogate)
    if held:
        # At the boundary, an entry seems to move nothing, and hides what others share with it.
        inside = _inside(problem, chosen, held)
        # With noise of no size, there are no moments away from the boundary either.
        with suppress(torch.linalg.LinAlgError, DivergenceError):
            everywhere = identifiability(problem, *problem.split(inside))
            undetermined = undetermined.sharing(everywhere, held, inside)
            known = known if undetermined.inside is None else everywhere
    told = undetermined.combinations(problem, estimate_of(chosen), chosen["covariance"].values)
    within = {
        name: (chosen[name].dims, undetermined.within(chosen[name].values), chosen[name].attrs)
        for name in _COVARIANCES
        if name in chosen
    }
    chosen = chosen.assign(within)
    every = np.array([*read_names(problem.law), *problem.noise.names])
    chosen = chosen.assign_attrs(
        undetermined=json.dumps(every[undetermined.entries].tolist()),
        determined_combinations=json.dumps([asdict(each) for each in told]),
    )
    return chosen, _Found(known, undetermined, parameter_names(problem))


def _inside(problem: Problem, chosen: xr.Dataset, held: Sequence[int]) -> np.ndarray:
    """Return p (n_p,) with entries at a boundary, or near it, moved into their interval."""
    p, (lower, upper) = estimate_of(chosen), chosen["ends"].values.T
    for i in held:
        # Half of the largest natural value, or twice the smallest.
        p[i] = max(p[i], upper[i] - _TWICE) if np.isfinite(upper[i]) else lower[i] + _TWICE
    return p


def _ends(
    problem: Problem, chosen: xr.Dataset, found: _Found
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    ends = intervals(problem, chosen)
    for i, (low, high) in size_ends(problem, chosen).items():
        ends["noise"][0][i], ends["noise"][1][i] = low, high
    unknown = found.undetermined.entries
    for part, rows in zip(ends.values(), np.split(unknown, [problem.d_alpha]), strict=True):
        for end in part:
            end[rows] = np.nan
    return ends


def _summary(problem: Problem, chosen: xr.Dataset) -> xr.Dataset:
    """Return moments, quantiles and correlations of the law, with their intervals."""
    d_alpha = problem.d_alpha
    covariance = chosen["covariance"].values[:d_alpha, :d_alpha]
    summary = law_summary(problem.law, chosen["alpha"].values, covariance, len(problem.data))
    long_name = "summary of the law"
    return xr.Dataset(
        {
            "summary": variable("law_summary", summary.values, long_name),
            "summary_lower": variable("law_summary", summary.lower, f"lower end, {long_name}"),
            "summary_upper": variable("law_summary", summary.upper, f"upper end, {long_name}"),
        },
        coords=parameter_coordinate(summary.names, "law_summary", long_name),
    )


def _side_by_side(problem: Problem, estimates: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the estimates and standard errors of all estimators, and the bound."""
    count = len(problem.free)
    values, errors = np.full((3, count), np.nan), np.full((3, count), np.nan)
    for row, estimate in enumerate(estimates.values()):
        if "alpha" in estimate:
            values[row] = estimate_of(estimate)
            errors[row] = np.sqrt(np.diag(estimate["covariance"].values))
    side_by_side = xr.Dataset(
        {
            "estimates": variable(("estimator", "estimated"), values, "estimates, unconstrained"),
            "estimate_errors": variable(
                ("estimator", "estimated"), errors, "standard errors, unconstrained"
            ),
        },
        coords={
            **parameter_coordinate(list(estimates), "estimator", "estimator"),
            **estimated_coordinate(problem),
        },
    )
    likelihood = estimates["likelihood"]
    if likelihood.attrs["passes"]:
        bound, bounding = likelihood["bound"].values, "likelihood"
    else:
        covariance = estimates["pseudo_likelihood"]["sampling_covariance"].values
        bound, bounding = np.sqrt(np.diag(covariance)), "pseudo_likelihood"
    side_by_side["bound"] = variable(
        "estimated", bound, f"standard error that the {words(bounding)} allows, unconstrained"
    )
    # Merging keeps only the attributes of the first Dataset, so the variable carries this one.
    side_by_side["bound"].attrs["of"] = bounding
    return side_by_side


def _draws(problem: Problem, chosen: xr.Dataset) -> xr.Dataset:
    """Return draws of (alpha, gamma) from the normal law of the estimate."""
    # A parameter at its boundary has no normal law about it, so it is held.
    covariance = chosen["covariance"].values.copy()
    for i in boundaries(chosen):
        covariance[i], covariance[:, i] = 0.0, 0.0
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = generator(problem.seed, "answer/draws")
    answers = estimate_of(chosen) + rng.standard_normal((_DRAWS, len(values))) @ root.T
    alpha, gamma = answers[:, : problem.d_alpha], answers[:, problem.d_alpha :]
    return xr.Dataset(
        {
            "alpha_draws": variable(("draw", "law_parameter"), alpha, "draws about the law"),
            "gamma_draws": variable(("draw", "noise_parameter"), gamma, "draws about the noise"),
        }
    )


def _agreement(
    problem: Problem, estimates: Mapping[str, xr.Dataset], chosen: str
) -> dict[str, float | str]:
    """Return Hausman's test of the distance against the chosen estimate, or of two likelihoods."""
    other = "distance" if chosen != "distance" else "pseudo_likelihood"
    one, two = estimates[chosen], estimates[other]
    if problem.noise.shared is not None:
        return {"agreement": "not judged: the distance has another size of the discrepancy"}
    if len(problem.data) < FEW_SYSTEMS:
        few = f"with fewer than {FEW_SYSTEMS} systems the estimates have biases of their own"
        return {"agreement": f"not judged: {few}"}
    if "alpha" not in two:
        return {"agreement": f"not judged: there is no {words(other)}, as {two.attrs['reason']}"}
    if not two.attrs["arrived"]:
        return {"agreement": f"not judged: the {words(other)} has not converged"}
    influences = two["influence"].values - one["influence"].values
    if not np.isfinite(influences).all():
        return {"agreement": "not judged: the noise has too many parameters"}
    extra = sum(
        each["covariance"].values - each["sampling_covariance"].values for each in (one, two)
    )
    # A prior draws the parameters of two estimates differently.
    penalised = np.flatnonzero(problem.prior.entries).tolist()
    errors, wider = (np.sqrt(np.diag(each["covariance"].values)) for each in (one, two))
    # A difference from a much less precise estimate carries no information.
    vague = np.flatnonzero(~(wider <= _VAGUE * errors)).tolist()
    left_out = list({*boundaries(one), *boundaries(two), *penalised, *vague})
    if len(left_out) == len(errors):
        return {"agreement": f"not judged: the {words(other)} determines no parameter well enough"}
    delta = estimate_of(two) - estimate_of(one)
    delta[left_out], influences[:, left_out] = 0.0, 0.0
    extra[left_out], extra[:, left_out] = 0.0, 0.0
    test = hausman(delta, influences, extra, generator(problem.seed, "answer/agreement"))
    names = parameter_names(problem)
    return {
        "agreement": describe(test, names, words(other), words(chosen)),
        "agreement_p_value": test.p_value,
        "agreement_statistic": test.statistic,
    }


def _with_identifiability(population: xr.Dataset, found: _Found) -> xr.Dataset:
    known, d_alpha = found.known, found.known.d_alpha
    for name, dim, part in (
        ("law", "law_parameter", slice(None, d_alpha)),
        ("noise", "noise_parameter", slice(d_alpha, None)),
    ):
        population[f"{name}_predicted_error"] = variable(
            dim,
            known.standard_errors[part],
            f"standard error of the {name}, unconstrained, that the {known.by.rstrip(',')} allow",
        )
    population["identifiability_singular_values"] = variable(
        "direction",
        known.singular_values,
        "standard errors by which the moments move over the parameters' whole scale",
    )
    return population.assign_attrs(
        identifiability_warning=known.warning(found.names),
        identifiability_by=known.by.rstrip(","),
        weakest_direction=known.describe_weakest(found.names),
        weakest_direction_error=known.weakest_error,
    )
