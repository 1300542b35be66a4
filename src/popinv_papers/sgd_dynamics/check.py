"""The test problem: simulated paths of stochastic gradient descent beside every formula."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.methods.metrics import flatten
from popinv.store.variables import variable
from popinv_papers.kit.claims import Claim, Rows
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome
from popinv_papers.sgd_dynamics.comparisons import PARTS, SIZES, TheoryAndSimulation
from popinv_papers.sgd_dynamics.figures import draw_comparisons
from popinv_papers.sgd_dynamics.finite_rates import escape_probability, finite_rate_term
from popinv_papers.sgd_dynamics.simulation import GradientNoise
from popinv_papers.sgd_dynamics.theory import escape_probability_heavy

# Start of the table of escape probabilities, in units of s epsilon^(1-1/alpha).
_MULTIPLE = 3.0


def result_dataset(rows: Sequence[TheoryAndSimulation]) -> xr.Dataset:
    """Return the comparisons that expect a number, along ``comparison`` and ``batch``.

    ``escape_limit`` and ``escape`` tabulate the stable limit and the linear recursion.
    """
    rows = [row for row in rows if not isinstance(row.expected, str)]
    alphas, rates = [1.2, 1.5, 1.8, 1.9], [1e-1, 1e-2, 1e-3, 1e-4, 1e-6]
    limit, exact, term = np.empty((3, len(alphas), len(rates)))
    for i, alpha in enumerate(alphas):
        for j, rate in enumerate(rates):
            start = _MULTIPLE * rate ** (1 - 1 / alpha)
            limit[i, j] = escape_probability_heavy(start, rate, alpha, 1.0)
            exact[i, j] = escape_probability(start, rate, GradientNoise("pareto", 1.0, alpha))
            term[i, j] = finite_rate_term(rate, alpha)
    table = ("tail_index", "rate")
    return xr.Dataset(
        {
            "theory": variable("comparison", [float(c.expected) for c in rows], "by theory"),
            "simulated": variable(
                ("comparison", "batch"), [c.values for c in rows], "simulated, by batches"
            ),
            "escape_limit": variable(table, limit, "escape probability, stable limit"),
            "escape": variable(table, exact, "escape probability, linear recursion"),
            "finite_rate_term": variable(table, term, "first finite-rate term"),
        },
        coords={
            "comparison": variable("comparison", [c.name for c in rows], "what is compared"),
            "tail_index": variable("tail_index", alphas, "tail index of Pareto noise"),
            "rate": variable("rate", rates, "learning rate"),
        },
    )


def metrics(rows: Sequence[TheoryAndSimulation], result: xr.Dataset) -> dict[str, Any]:
    """Return the mean, its standard error over batches, and theory of every comparison.

    The tables of :func:`result_dataset` follow.
    """
    numbers: dict[str, Any] = {}
    for row in rows:
        numbers[row.name] = float(row.values.mean())
        numbers[f"{row.name}_standard_error"] = float(
            row.values.std(ddof=1) / np.sqrt(len(row.values))
        )
        if not isinstance(row.expected, str):
            numbers[f"{row.name}_theory"] = float(row.expected)
    for name in ("escape_limit", "escape", "finite_rate_term"):
        numbers |= flatten(result[name], f"{name}_index_{{tail_index:g}}_rate_{{rate:g}}")
    return numbers | {"comparisons": len(rows)}


def claims(rows: Iterable[TheoryAndSimulation]) -> list[Claim]:
    """Return a row for each comparison, judged by its own criterion."""
    return [
        Rows(row.part, row.source, row.where).row(
            row.claim, row.expected, row.values, row.criterion, row.control, told=row.why
        )
        for row in rows
    ]


def check(given: CheckInput) -> CheckOutcome:
    """Simulate paths near critical points, and compare with theory."""
    rows = []
    for part in PARTS:
        for row in part(SIZES[given.size], given.seed):
            print(f"{row.name}: {row.expected}, simulated {row.values.mean():.4g}")
            rows.append(row)
    result = result_dataset(rows)
    return CheckOutcome(
        metrics=metrics(rows, result),
        figures={"comparisons": draw_comparisons(result)},
        result=result,
        claims=claims(rows),
    )
