"""Candidates to solve, in the order of their worth for a study's answer, and what it saves.

Solves of later rounds are candidates whose answers are hidden. The first surrogate, which knows
the broad design alone, is trained further on the broad design and the first n candidates, in the
order of :mod:`popinv_papers.influence.worth`, or in random order as active learning takes them.
The order knows the population that the study has found, but of the solves only the broad ones. Law
and noise are estimated through each surrogate by the pseudo-likelihood, as in the study's rounds.
The answer's error is its distance to the same estimate through the last surrogate, in standard
errors. Rounds weigh as in the study's own training. Fresh solves choose the best weights of a
training and are not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.evidence.designs import Calls, calls_to_reach
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.design import recency_weights
from popinv.surrogate.trained_network import Surrogate
from popinv_papers.influence.study import Bench
from popinv_papers.influence.worth import answer_order

_FEWEST = 10
# Covariances between all pairs of these are held.
_MOST = 2000
_SHARES = (1 / 64, 1 / 16, 1 / 4, 1)


def order_candidates(
    bench: Bench, problem: Problem, p: np.ndarray, last: Surrogate, recency_decay: float
) -> tuple[xr.Dataset | None, dict[str, Any]]:
    """Return errors of the answer by order and number of candidates, and the solves saved.

    The bench has the surrogate of the first round, ``last`` is the surrogate of the last one. All
    estimates start from the study's answer p, and the problem's own simulator is not used. A round
    has the weight ``recency_decay`` relative to the next.

    Returns
    -------
    Dataset or None
        None if later rounds made too few solves.
    dict
        See :func:`solves_saved`.
    """
    solves, asked, seed = bench.solves, bench.asked, bench.adam.seed
    stage = f"{bench.adam.stage}/candidates"
    pool = solves.pool
    first = solves.round_of[pool] == 0
    broad, later = pool[first], pool[~first]
    if len(later) < _FEWEST:
        return None, {
            "candidates": len(later),
            "candidates_statement": f"later rounds made {len(later)} solves, too few to ask which "
            "of them to make",
        }
    candidates = _at_most(later, seed, f"{stage}/some")
    known = _at_most(broad, seed, f"{stage}/known")
    reference = fit_pseudo_likelihood(problem.through(last), [p])
    moves = np.diag(reference.covariance) > 0
    precision = restricted_inverse(reference.covariance, moves)
    # A few matter most: without any the error is far from that with some.
    counts = sorted({max(1, round(len(candidates) * share)) for share in _SHARES})
    errors: dict[str, list[list[float]]] = {"influence": [], "random": []}
    without: list[float] = []

    def error_with(rows: np.ndarray, name: str) -> float:
        newer = (np.arange(len(broad) + len(rows)) >= len(broad)).astype(int)
        weights = recency_weights(newer, int(newer.max()), recency_decay)
        surrogate = bench.trained(np.concatenate([broad, rows]), name, weights)
        moved = fit_pseudo_likelihood(problem.through(surrogate), [p]).p - reference.p
        return float(np.sqrt(max(moved @ precision @ moved, 0.0)))

    for repeat in tqdm(range(asked.repeats), desc="candidates", unit="repeat", disable=None):
        ahead, _ = answer_order(
            problem.through(bench.surrogate),
            reference,
            bench.surrogate,
            (solves.z[known], solves.y[known]),
            solves.z[candidates],
            counts[-2] if len(counts) > 1 else counts[-1],
            f"{stage}/{repeat}",
        )
        orders = {
            "influence": np.append(ahead, np.setdiff1d(np.arange(len(candidates)), ahead)),
            "random": generator(seed, f"{stage}/random", repeat).permutation(len(candidates)),
        }
        for name, order in orders.items():
            errors[name].append(
                [error_with(candidates[order[:n]], f"{name}/{repeat}/{n}") for n in counts]
            )
        without.append(error_with(candidates[:0], f"without/{repeat}"))
    return solves_saved(errors, counts, float(np.mean(without)))


def _at_most(rows: np.ndarray, seed: int, stage: str) -> np.ndarray:
    """Return the rows, or a random part of too many."""
    return np.sort(generator(seed, stage).permutation(rows)[:_MOST])


def solves_saved(
    errors: Mapping[str, Sequence[Sequence[float]]], counts: list[int], without: float
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the curves, and the solves to the error that some random candidates reach.

    Parameters
    ----------
    errors : mapping of str to sequence
        Errors by repeat and number of candidates, in the orders "influence" and "random".
    counts : list of int
        Numbers of candidates, ascending. The last but one sets the error to reach.
    """
    curves = {name: np.array(values) for name, values in errors.items()}
    means = {name: values.mean(axis=0) for name, values in curves.items()}
    some, reach = counts[-2], float(means["random"][-2])
    by_random, by_influence = (
        calls_to_reach(np.array(counts), means[name], reach) for name in ("random", "influence")
    )
    saved: float | str = "unknown: random order needs fewer than were tried"
    if by_random.relation == "=":
        beyond: dict[str, Any] = {"<": ">", ">": "<", "=": "="}
        difference = by_random.value - by_influence.value
        saved = Calls(difference, beyond[by_influence.relation]).shown()
    gap = curves["random"] - curves["influence"]
    metrics: dict[str, Any] = {"candidates": counts[-1], "answer_error_without_candidates": without}
    for place, count in enumerate(counts):
        for name, values in curves.items():
            metrics[f"answer_error_{name}_{count}_candidates"] = float(means[name][place])
            metrics[f"answer_error_{name}_{count}_candidates_sd"] = float(
                values[:, place].std(ddof=1)
            )
        lead = f"lead_of_influence_{count}_candidates"
        metrics[lead] = float(gap[:, place].mean())
        metrics[f"{lead}_standard_error"] = float(gap[:, place].std(ddof=1) / len(gap) ** 0.5)
    lead = metrics[f"lead_of_influence_{some}_candidates"]
    metrics |= {
        "solves_by_random": by_random.shown(),
        "solves_by_influence": by_influence.shown(),
        "solves_saved": saved,
        "candidates_statement": (
            f"{some} of {counts[-1]} candidates in random order bring the answer's error to "
            f"{reach:.3g} ({without:.3g} without any); random order needs {_words(by_random)} "
            f"and the order of influence needs {_words(by_influence)}; its error with {some} is "
            f"{abs(lead):.2g} {'smaller' if lead > 0 else 'larger'} (standard error "
            f"{metrics[f'lead_of_influence_{some}_candidates_standard_error']:.2g}; errors are "
            "distances to the answer through the last surrogate, in standard errors)"
        ),
    }
    result = xr.Dataset(
        {
            "candidate_error": variable(
                ("order", "repeat", "candidates"),
                list(curves.values()),
                "error of the answer, in standard errors",
            )
        },
        coords={
            "order": variable("order", np.array(list(curves), dtype=np.str_), "order of solving"),
            "candidates": variable("candidates", counts, "candidates that are solved"),
        },
    )
    return result.assign(
        error_without=variable((), without, "error of the answer without candidates")
    ), metrics


def _words(calls: Calls) -> str:
    """Return a number, or its bound, in words."""
    before = {"=": "", "<": "fewer than ", ">": "more than "}
    return f"{before[calls.relation]}{calls.value:.0f}"
