"""The test problem: the scaling laws of gradient and sign descent, and real text."""

from __future__ import annotations

from popinv.downstream.bigram import figures, problem
from popinv.downstream.bigram.counts import Bigrams
from popinv.downstream.data.text import brown_texts, byte_pair_symbols
from popinv.downstream.outcome import CheckInput, Outcome

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Confront the scaling laws with measured losses."""
    size = problem.SIZES[given.size]
    texts = list(brown_texts(given.files[0]).values())
    bigrams = {}
    for vocabulary in size.vocabularies:
        symbols, learnt = byte_pair_symbols(texts, vocabulary)
        bigrams[vocabulary] = Bigrams.of(symbols, learnt)
        print(f"{learnt} tokens, {len(bigrams[vocabulary].counts)} different pairs")
    text = problem.text(bigrams)
    result = problem.whole(
        problem.collapse(size.sizes),
        problem.scaling(size.sizes),
        text,
        problem.cross_entropy_steps(size.cross_entropy_sizes),
    )
    metrics = problem.metrics(result)
    return Outcome(
        metrics=metrics,
        figures={
            "collapse": figures.draw_collapse(result),
            "scaling": figures.draw_scaling(result),
            "text": figures.draw_curves(text, "Relative loss on the Brown corpus"),
        },
        result=result,
        claims=problem.claims(result, metrics),
    )
