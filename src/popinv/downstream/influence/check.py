"""The test problem: errors of the formulas, selections from two mixtures, and their cost."""

from __future__ import annotations

from popinv.downstream.data.text import brown_texts, byte_pair_symbols
from popinv.downstream.influence import problem
from popinv.downstream.influence.claims import claims
from popinv.downstream.influence.figures import draw_landmarks, draw_selections
from popinv.downstream.influence.language import Corpus
from popinv.downstream.outcome import CheckInput, Outcome
from popinv.threads import fixed_threads

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Compare the claims on selection by influence with measurements."""
    size = problem.SIZES[given.size]
    texts = brown_texts(given.files[0])
    symbols, learnt = byte_pair_symbols(list(texts.values()), size.language.vocabulary)
    corpus = Corpus(dict(zip(texts, symbols, strict=True)), learnt)
    with fixed_threads():
        result = problem.run(size, corpus, given.seed)
    metrics = problem.metrics(result)
    return Outcome(
        metrics=metrics,
        figures={"selections": draw_selections(result), "landmarks": draw_landmarks(result)},
        result=result,
        claims=claims(result),
    )
