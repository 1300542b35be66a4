"""The memory and the time of downstream methods' jobs on a study, from the methods' records."""

from __future__ import annotations

from functools import partial
from typing import Any

from popinv.methods.method import Method, StudySizes
from popinv.methods.registry import METHODS as RECORDS
from popinv.workflow.study_sizes import NotAsked, Row, Sizes, megabytes


def _sizes(s: Sizes) -> StudySizes:
    return StudySizes(
        systems=s.systems,
        row=s.numbers,
        training=s.solves,
        network=s.weights,
        activations=s.layers / megabytes(1),
        network_seconds=s.passing,
        descent_megabytes=s.descent_megabytes,
        iteration_seconds=s.step,
        training_megabytes=s.training_megabytes,
        training_seconds=s.solves * s.training,
        solve_megabytes=s.cost.megabytes,
        solve_seconds=s.solve_seconds,
    )


def _amount(method: Method, unit: str, factor: float, s: Sizes) -> float:
    asked = getattr(s.study.downstream, method.name)
    if asked is None:
        raise NotAsked(method.name)
    amount: Any = getattr(method.use, unit)
    return factor * float(amount(_sizes(s), asked) if callable(amount) else amount)


METHODS: dict[str, Row] = {
    f"use_{name}": Row(
        partial(_amount, record, "megabytes", 1), partial(_amount, record, "minutes", 60)
    )
    for name, record in RECORDS.items()
}
"""The memory and the time of a job of each rule of a downstream method."""
