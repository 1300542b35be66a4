"""The use on a study: choice of an optimiser for a linear model of the observed series."""

from __future__ import annotations

from popinv.methods.outcome import Outcome, StudyInput
from popinv_papers.bigram.figures import draw_curves
from popinv_papers.bigram.series import advise, invariants, quantised, series_curves


def use(study: StudyInput) -> Outcome:
    """Choose an optimiser by Zipf's law on half of the series, and check it on the other half."""
    asked = study.asked
    symbols = quantised(study.stores["observations"], asked.vocabulary, study.seed)
    found = invariants(symbols, asked.vocabulary, asked.target, study.seed)
    metrics, withheld = advise(symbols, asked.vocabulary, asked.target, study.seed)
    curves = series_curves(withheld)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"curves": draw_curves(curves, "Relative loss on the withheld half of the series")},
        result=curves,
        invariants=found,
    )
