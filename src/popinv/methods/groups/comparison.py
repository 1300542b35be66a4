"""The tests of a group as a dataset, as numbers and in words, and their invariant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.inference.density.problem import Problem
from popinv.methods.groups.group_tests import Estimate, GroupAnswer, error_rates, examine
from popinv.methods.invariants import Invariant, held
from popinv.store.variables import variable

# Largest difference due to rounding.
_SAME = 1e-6


def compare_group(
    problem: Problem, estimate: Estimate, systems: Sequence[int], simulated: int
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Test whether the systems of a group have the same parameters.

    The function simulates ``simulated`` groups through the surrogate, to measure how often the
    tests err.

    The dataset holds ``pair_p_value`` (group, other) and ``system_p_value`` (group), both adjusted,
    and whether a system is set ``apart``. The numbers are ``p_value`` of the group, and
    ``p_value_simulated``, its place among the p-values of simulated groups of alike systems;
    ``p_value_system_<n>``, ``p_value_pairs_min`` and ``statement``; the rates of errors
    ``false_positives``, ``false_positives_pairs``, ``false_positives_systems``, and for groups with
    one outlier ``outlier_found`` and ``others_dragged`` (not for two systems).
    """
    answer = examine(problem, estimate, systems)
    rates = error_rates(problem, estimate, systems, simulated)
    below = int((rates.group_p_values <= answer.p_value).sum())
    metrics: dict[str, Any] = {
        "group_size": len(systems),
        "p_value": answer.p_value,
        "p_value_simulated": (1 + below) / (1 + simulated),
        "p_value_pairs_min": float(answer.pairs.min()),
        "statement": statement(systems, answer),
        "simulated_groups": simulated,
        "false_positives": rates.group,
        "false_positives_pairs": rates.pairs,
        "false_positives_systems": rates.systems,
    }
    if len(systems) > 2:
        metrics |= {"outlier_found": rates.found, "others_dragged": rates.dragged}
    for n, p_value in zip(systems, answer.systems, strict=True):
        metrics[f"p_value_system_{n}"] = float(p_value)
    apart = np.isin(np.arange(len(systems)), answer.apart)
    result = xr.Dataset(
        {
            "pair_p_value": variable(
                ("group", "other"), answer.pairs, "p-value of the pair, adjusted by Holm's rule"
            ),
            "system_p_value": variable(
                "group", answer.systems, "p-value against the rest, adjusted by Holm's rule"
            ),
            "apart": variable("group", apart.astype(np.int8), "whether the system stands apart"),
        },
        coords={
            "group": variable("group", list(systems), "number of the system"),
            "other": variable("other", list(systems), "number of the other system"),
        },
    )
    return result, metrics


def statement(systems: Sequence[int], answer: GroupAnswer) -> str:
    """Return the result of the tests in words."""
    if not answer.apart:
        return "one set of parameters may serve all systems of the group"
    if len(systems) - len(answer.apart) < 2:
        return "no two systems of the group can have the same parameters"
    left = sorted(systems[k] for k in answer.apart)
    words = ", ".join(map(str, left))
    some = f"systems {words} stand" if len(left) > 1 else f"system {words} stands"
    return f"{some} apart; one set of parameters may serve the others"


def any_order(problem: Problem, estimate: Estimate, systems: Sequence[int]) -> Invariant:
    """Check that the tests do not depend on the order in which the systems are named."""
    forward, backward = (examine(problem, estimate, named) for named in (systems, systems[::-1]))
    apart = [
        abs(forward.p_value - backward.p_value),
        np.abs(forward.systems - backward.systems[::-1]).max(),
        np.abs(forward.pairs - backward.pairs[::-1, ::-1]).max(),
    ]
    same = {systems[k] for k in forward.apart} == {systems[::-1][k] for k in backward.apart}
    return held(
        "systems_in_other_order",
        "systems named in reverse: largest change of a p-value",
        float(np.max(apart)) if same else np.inf,
        _SAME,
    )
