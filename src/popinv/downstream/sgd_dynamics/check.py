"""The test problem: simulated paths of stochastic gradient descent beside every formula."""

from __future__ import annotations

from popinv.downstream.outcome import CheckInput, Outcome
from popinv.downstream.sgd_dynamics import problem
from popinv.downstream.sgd_dynamics.claims import claims
from popinv.downstream.sgd_dynamics.figures import draw_comparisons
from popinv.downstream.sgd_dynamics.measuring import SIZES

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Simulate paths near critical points, and compare with theory."""
    comparisons = []
    for comparison in problem.comparisons(SIZES[given.size], given.seed):
        print(f"{comparison.name}: {comparison.expected}, simulated {comparison.values.mean():.4g}")
        comparisons.append(comparison)
    result = problem.result_dataset(comparisons)
    return Outcome(
        metrics=problem.metrics(comparisons, result),
        figures={"comparisons": draw_comparisons(result)},
        result=result,
        claims=claims(comparisons),
    )
