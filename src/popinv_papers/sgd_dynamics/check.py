"""The test problem: simulated paths of stochastic gradient descent beside every formula."""

from __future__ import annotations

from popinv_papers.kit.test_problems import CheckInput, CheckOutcome
from popinv_papers.sgd_dynamics import problem
from popinv_papers.sgd_dynamics.claims import claims
from popinv_papers.sgd_dynamics.figures import draw_comparisons
from popinv_papers.sgd_dynamics.measuring import SIZES


def check(given: CheckInput) -> CheckOutcome:
    """Simulate paths near critical points, and compare with theory."""
    comparisons = []
    for comparison in problem.comparisons(SIZES[given.size], given.seed):
        print(f"{comparison.name}: {comparison.expected}, simulated {comparison.values.mean():.4g}")
        comparisons.append(comparison)
    result = problem.result_dataset(comparisons)
    return CheckOutcome(
        metrics=problem.metrics(comparisons, result),
        figures={"comparisons": draw_comparisons(result)},
        result=result,
        claims=claims(comparisons),
    )
