"""The record of the method ``withdrawal``."""

from __future__ import annotations

from popinv.methods.method import Method, StudySizes, Use
from popinv.methods.withdrawal.section import Withdrawal

# Evaluations of the likelihood that a fit without some systems takes, and those that come first.
_EVALUATIONS, _FIRST = 6, 12
# Calls of the surrogate, or of the solver, for each system in an evaluation; an answer goes through
# the solver only where this takes no longer than so many seconds.
_CALLS, _LONGEST = 200, 20.0


def _minutes(sizes: StudySizes, asked: Withdrawal) -> float:
    evaluations = _FIRST + _EVALUATIONS * (asked.checked + 1)
    calls = sizes.systems * _CALLS
    by_solver = calls * sizes.solve_seconds
    each = calls * sizes.network_seconds + (by_solver if by_solver < _LONGEST else 0.0)
    # The distance takes short descents.
    return evaluations * max(each, 3 * sizes.iteration_seconds) / 60 + 1


METHOD = Method(
    name="withdrawal",
    package="popinv.methods.withdrawal",
    section=Withdrawal,
    use=Use(
        message="withdrawing systems, and the influence of each",
        stores=("observations", "surrogate", "population", "rerun", "solves"),
        sections=("forward", "law", "noise", "descent", "polish"),
        imports=("law", "noise"),
        figures=("influence", "answers"),
        files=("influence.csv", "answers.csv"),
        megabytes=lambda sizes, asked: sizes.descent_megabytes + 500,
        minutes=_minutes,
    ),
)
