"""The use on a study: selection of solves to train its surrogate on, and of candidates to solve."""

from __future__ import annotations

from popinv.downstream.influence.figures import draw_study
from popinv.downstream.influence.study import select_samples
from popinv.downstream.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_settings
from popinv.threads import fixed_threads

__all__ = ["use"]


def use(study: StudyInput) -> Outcome:
    """Select solves and candidates, and train on them."""
    stores = study.stores
    first, last = (surrogate_of(stores[name]) for name in ("first_surrogate", "surrogate"))
    logarithmic = study.law.law(study.forward).logarithmic
    # Settings of a later round; the round's number matters for random draws alone.
    settings = training_settings(
        study.surrogate, study.forward, study.seed, 1, stores["population"], logarithmic
    )
    with fixed_threads():
        result, metrics = select_samples(
            stores["fresh_solves"],
            first,
            last,
            settings.replace(stage="influence"),
            study.asked,
            study.recency_decay,
        )
    for name in ("selected_statement", "candidates_statement"):
        print(metrics[name])
    return Outcome(metrics=metrics, figures={"selection": draw_study(result)}, result=result)
