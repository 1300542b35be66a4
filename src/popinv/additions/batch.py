"""What added systems say: their own parameters, and whether they are of the population."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.additions.batch_test import PARTS, BatchTest, batch_test, simulated_scores
from popinv.additions.estimates import Continued
from popinv.errors import DivergenceError
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.answer.result import correction_of, estimate_of
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.maximum import maximum_with_information
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.store.variables import variable

# P-value below which the batch is said to differ.
LEVEL = 0.05
# Systems for each parameter from which the parameters of the batch are its own maximum.
_SYSTEMS_PER_PARAMETER = 5
_NORMAL = 1.959964


def batch_dataset(
    going_on: Continued, last: xr.Dataset, estimate: Estimate, before: Mapping[str, np.ndarray]
) -> xr.Dataset:
    """Return the comparison of added systems with the population of the earlier ones.

    Parameters
    ----------
    going_on : Continued
    last : Dataset
        The likelihood's estimate of the earlier systems.
    estimate : Estimate
        That of all systems.
    before : dict of str to ndarray
        The evaluation of the added systems at the last maximum.

    Returns
    -------
    Dataset
        ``p_value``, ``statistic`` and ``degrees`` along ``compared``
        (:data:`popinv.additions.batch_test.PARTS`); along ``parameter``, ``batch`` and
        ``population``, natural values of the added and of the earlier systems, with the ends of
        their 95 % intervals, ``batch_lower`` and so on, and ``shift``, by how many standard errors
        the added systems move the answer. The attribute ``statement`` states the p-values, and
        ``own_maximum`` is 0 if the batch's parameters are to first order.
    """
    problem, count = going_on.problem, going_on.added
    few = problem.of_systems(going_on.numbers)
    settings = MarginalSettings(draws=going_on.polish.draws)
    p, covariance = going_on.last_p(last), last["covariance"].values
    alike = problem.conditions.plain
    simulated, solver = few, going_on.solver
    with nullcontext() if solver is None else solver.session():
        if solver is not None:
            simulated = few.through(solver)
        pool = simulated_scores(simulated, p, settings)
        found = batch_test(
            before["scores"],
            pool,
            covariance,
            problem.d_alpha,
            problem.seed,
            alike,
        )
        p_value = found.p_value.copy()
        if p_value[0] < LEVEL:
            # The scores at the answer describe small differences. With a large one, a part is
            # compared where the other suits the added systems.
            for part in (1, 2):
                at = _fitted(simulated, going_on, p, found, part)
                if at is not None:
                    scores = likelihood_near(simulated, at, settings, going_on.numbers).here.scores
                    pool = simulated_scores(simulated, at, settings)
                    again = batch_test(
                        scores, pool, covariance, problem.d_alpha, problem.seed, alike
                    )
                    p_value[part] = again.p_value[part]
        found = replace(found, p_value=p_value)
        own, error, is_maximum = _alone(simulated, going_on, p, before["scores"], found, settings)
    whole = estimate_of(last)
    errors = np.sqrt(np.diag(covariance))
    moved = np.where(errors > 0, (estimate.p - whole) / np.where(errors > 0, errors, 1.0), 0.0)
    names = [*problem.law.names, *(f"noise_{name}" for name in problem.noise.names)]
    columns = {
        **_natural(problem, "batch", own + correction_of(last), error),
        **_natural(problem, "population", whole, errors),
    }
    told = {
        "batch": "parameters of the added systems",
        "population": "parameters of the earlier systems",
    }
    dataset = xr.Dataset(
        {
            "p_value": variable("compared", found.p_value, "p-value"),
            "statistic": variable("compared", found.statistic, "score statistic"),
            "degrees": variable("compared", found.degrees, "degrees of freedom"),
            "shift": variable("parameter", moved, "shift of the answer in standard errors"),
            **{
                name: variable("parameter", values, told.get(name, name.replace("_", " ")))
                for name, values in columns.items()
            },
        },
        coords={
            **parameter_coordinate(PARTS, "compared", "what is compared"),
            **parameter_coordinate(names, "parameter", "law and noise"),
        },
    )
    return dataset.assign_attrs(
        added=count, own_maximum=int(is_maximum), statement=_statement(count, found)
    )


def _alone(
    few: Problem,
    going_on: Continued,
    p: np.ndarray,
    scores: np.ndarray,
    found: BatchTest,
    settings: MarginalSettings,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the batch's own p (n_p,), its standard errors, and whether p is its maximum.

    The errors of entries that it does not determine are infinite.
    """
    information = going_on.added * found.information
    moves = np.diag(information) > 0
    inverse = restricted_inverse(information, moves)
    error = np.where(moves, np.sqrt(np.diag(inverse)), 0.0)
    if going_on.added >= _SYSTEMS_PER_PARAMETER * int(moves.sum()):
        try:
            own, arrived = maximum_with_information(few, p, settings, information, going_on.numbers)
        except (DivergenceError, np.linalg.LinAlgError):
            arrived = False
        if arrived:
            return own, error, True
    return p + inverse @ scores.sum(axis=0), error, False


def _fitted(
    few: Problem, going_on: Continued, p: np.ndarray, found: BatchTest, part: int
) -> np.ndarray | None:
    """Return p with the other part at the batch's own maximum, None if that is not found."""
    held = replace(few, free_law=part == 2, free_noise=part == 1)
    settings = MarginalSettings(draws=going_on.polish.draws)
    information = going_on.added * found.information
    try:
        at, arrived = maximum_with_information(held, p, settings, information, going_on.numbers)
    except (DivergenceError, np.linalg.LinAlgError):
        return None
    return at if arrived else None


def _natural(
    problem: Problem, name: str, p: np.ndarray, errors: np.ndarray
) -> dict[str, np.ndarray]:
    """Return natural values of p (n_p,), and those of the ends of the interval of each entry."""

    def of(at: np.ndarray) -> np.ndarray:
        alpha, gamma = problem.split(at)
        parts = problem.law.to_natural(alpha), problem.noise.to_natural(gamma)
        return np.concatenate([np.atleast_1d(part) for part in parts])

    def end(sign: float) -> np.ndarray:
        shifts = np.diag(sign * _NORMAL * errors)
        with np.errstate(over="ignore"):
            return np.array([of(p + shift)[i] for i, shift in enumerate(shifts)])

    return {name: of(p), f"{name}_lower": end(-1.0), f"{name}_upper": end(1.0)}


def _statement(count: int, found: BatchTest) -> str:
    """Return the result of the test in a sentence."""
    whole, law, noise = found.p_value
    systems = f"the {count} added systems" if count > 1 else "the added system"
    told = ", ".join(
        f"p = {value:.2g} for {part}"
        for part, value in zip(PARTS, found.p_value, strict=True)
        if np.isfinite(value)
    )
    if not whole < LEVEL:
        return f"{systems} may be of the same population as the earlier ones ({told})"
    parts = [part for part, value in (("law", law), ("noise", noise)) if value < LEVEL]
    where = f": another {' and another '.join(parts)}" if parts else ""
    differ = "differ" if count > 1 else "differs"
    return f"{systems} {differ} from the population of the earlier ones{where} ({told})"
