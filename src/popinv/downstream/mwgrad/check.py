"""The test problem in the plane: particles on four mixtures."""

from __future__ import annotations

from popinv.downstream.mwgrad import mixtures
from popinv.downstream.mwgrad.figures import draw_accelerated, draw_particles
from popinv.downstream.outcome import CheckInput, Outcome
from popinv.threads import fixed_threads

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Move particles, and confront velocities and weights with the paper's claims."""
    with fixed_threads():
        runs = mixtures.weight_runs(given.seed)
        curves = mixtures.accelerated_runs(given.seed)
    result = mixtures.result_dataset(runs, curves)
    metrics = mixtures.metrics(runs, curves)
    return Outcome(
        metrics=metrics,
        figures={
            "particles": draw_particles(result, mixtures.four_mixtures(given.seed)),
            "accelerated": draw_accelerated(result),
        },
        result=result,
        claims=mixtures.claims(metrics),
    )
