"""The test problem on images: ensembles of networks on pairs of overlapping images."""

from __future__ import annotations

from popinv.downstream.mwgrad import ensemble_problem
from popinv.downstream.mwgrad.image_figures import draw_accuracies, draw_examples
from popinv.downstream.outcome import CheckInput, Outcome
from popinv.store import storage

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Confront trained ensembles with the authors' logs and with each other."""
    trained = {file.parent.stem: storage.load(file) for file in given.files}
    metrics = ensemble_problem.metrics(trained)
    return Outcome(
        metrics=metrics,
        figures={"examples": draw_examples(trained), "accuracies": draw_accuracies(trained)},
        claims=ensemble_problem.claims(metrics),
    )
