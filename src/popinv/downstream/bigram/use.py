"""The use on a study: choice of an optimiser for a linear model of the observed series."""

from __future__ import annotations

from popinv.downstream.bigram.counts import Bigrams
from popinv.downstream.bigram.figures import draw_curves
from popinv.downstream.bigram.series import advise, quantised
from popinv.downstream.outcome import Outcome, StudyInput

__all__ = ["use"]


def use(study: StudyInput) -> Outcome:
    """Choose an optimiser by Zipf's law, and run both."""
    asked = study.asked
    symbols = quantised(study.stores["observations"], asked.vocabulary, study.seed)
    metrics, curves = advise(Bigrams.of(symbols, asked.vocabulary), asked.target)
    print(f"advice: {metrics['advice']}; faster: {metrics['faster']}")
    return Outcome(
        metrics=metrics,
        figures={"curves": draw_curves(curves, "Relative loss on the observed series")},
        result=curves,
    )
