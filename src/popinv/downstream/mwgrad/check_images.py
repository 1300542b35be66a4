"""The test problem on images: ensembles of networks on pairs of overlapping images."""

from __future__ import annotations

from pathlib import Path

from popinv.downstream.mwgrad import ensemble_problem
from popinv.downstream.mwgrad.ensemble_runs import Run
from popinv.downstream.mwgrad.image_figures import draw_accuracies, draw_examples, draw_logs
from popinv.downstream.outcome import CheckInput, Outcome
from popinv.store import storage

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Confront trained ensembles with the authors' logs and with each other."""
    trained = {_run_of(file): storage.load(file) for file in given.files}
    return Outcome(
        metrics=ensemble_problem.metrics(trained),
        figures={
            "examples": draw_examples(trained),
            "accuracies": draw_accuracies(trained),
            "logs": draw_logs(trained),
        },
        claims=ensemble_problem.claims(trained),
    )


def _run_of(file: Path) -> Run:
    kind, recipe, name = file.parts[-3:]
    return Run.of(f"{kind}/{recipe}/{name.partition('.')[0]}")
