"""Solves that an order of candidates saves, compared with random order at the same error.

The error is that of the answer. It is the distance to the answer through the last surrogate, in
standard errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.evidence.designs import Calls, calls_to_reach
from popinv.store.variables import variable


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
    without : float
        Error without candidates.
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
            f"{reach:.3g} ({without:.3g} without any); {_words(by_random)} do in random order and "
            f"{_words(by_influence)} in that of influence, whose error with {some} is "
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
    before = {"=": "", "<": "fewer than ", ">": "not even all "}
    return f"{before[calls.relation]}{calls.value:.0f}"
