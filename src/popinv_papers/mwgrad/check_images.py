"""The test problem on images: ensembles of networks on pairs of overlapping images."""

from __future__ import annotations

from pathlib import Path

from popinv.store import storage
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome
from popinv_papers.mwgrad import ensemble_problem
from popinv_papers.mwgrad.ensemble_runs import EnsembleTraining
from popinv_papers.mwgrad.figures import draw_accuracies, draw_examples, draw_logs


def check(given: CheckInput) -> CheckOutcome:
    """Confront trained ensembles with the authors' logs and with each other."""
    trained = {_run_of(file): storage.load(file) for file in given.files}
    return CheckOutcome(
        metrics=ensemble_problem.metrics(trained),
        figures={
            "examples": draw_examples(trained),
            "accuracies": draw_accuracies(trained),
            "logs": draw_logs(trained),
        },
        claims=ensemble_problem.claims(trained),
    )


def _run_of(file: Path) -> EnsembleTraining:
    kind, recipe, name = file.parts[-3:]
    return EnsembleTraining.of(f"{kind}/{recipe}/{name.partition('.')[0]}")
