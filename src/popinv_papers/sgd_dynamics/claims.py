"""The table of claims of the test problem."""

from __future__ import annotations

from collections.abc import Iterable

from popinv_papers.kit.claims import Claim, Control, judged, measured
from popinv_papers.sgd_dynamics.measuring import Comparison


def claims(rows: Iterable[Comparison]) -> list[Claim]:
    """Return a row for each comparison, judged by its own criterion."""
    return [_judged(row) for row in rows]


def _judged(row: Comparison) -> Claim:
    control = None
    if row.control is not None:
        taken_away, values = row.control
        control = Control(taken_away, measured(values))
    return judged(
        row.part,
        row.claim,
        row.source,
        row.where,
        row.expected,
        measured(row.values),
        row.criterion,
        control,
        row.why,
    )
