"""The use on a study: real worker processes of unequal speed train its surrogate."""

from __future__ import annotations

from dataclasses import replace

from popinv.downstream.birch.figures import draw_study
from popinv.downstream.birch.study import Learning, compare
from popinv.downstream.outcome import Outcome, StudyInput
from popinv.surrogate.build import training_data, training_settings

__all__ = ["use"]


def use(study: StudyInput) -> Outcome:
    """Train under three policies."""
    asked, solves = study.asked, study.stores["solves"]
    logarithmic = study.law.law(study.forward).logarithmic
    settings = training_settings(
        study.surrogate, study.forward, study.seed, 0, logarithmic=logarithmic
    )
    # All rounds weigh the same.
    data = replace(training_data(solves, int(solves["round"].max()), 1.0), weights=None)
    learning = Learning.of(data, settings.replace(stage="birch"), asked.batch_size)
    result, metrics = compare(learning, asked)
    print(metrics["statement"])
    return Outcome(metrics=metrics, figures={"training": draw_study(result)}, result=result)
