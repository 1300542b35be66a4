"""The test problem: the scaling laws of gradient and sign descent, and real text."""

from __future__ import annotations

from collections.abc import Sequence

from popinv_papers.bigram import figures, problem
from popinv_papers.bigram.advice_trials import advice_trials
from popinv_papers.bigram.claims import OTHERS, claims
from popinv_papers.bigram.limits import collapse
from popinv_papers.bigram.steps_map import TARGETS, steps_map
from popinv_papers.bigram.text_problem import Symbols, predicted_halves, text
from popinv_papers.bigram.worst_case import worst_case
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome
from popinv_papers.kit.text import byte_pair_symbols, read_texts


def check(given: CheckInput) -> CheckOutcome:
    """Confront the scaling laws with measured losses."""
    size = problem.SIZES[given.size]
    named = _symbols(read_texts(given.corpus, given.files), size.vocabularies)
    curves = text(named, size.draws, given.seed)
    result = problem.whole(
        collapse(size.limit_sizes),
        steps_map(size.map_sizes),
        worst_case(TARGETS, OTHERS),
        curves,
        predicted_halves(named[max(named)], size.draws, given.seed),
        problem.cross_entropy_steps(size.cross_entropy_sizes),
        advice_trials(size.draws, given.seed),
    )
    return CheckOutcome(
        metrics=problem.metrics(result),
        figures={
            "map": figures.draw_map(result),
            "collapse": figures.draw_collapse(result),
            "text": figures.draw_curves(curves, "Relative loss on text"),
        },
        result=result,
        claims=claims(result),
    )


def _symbols(texts: Sequence[str], vocabularies: Sequence[int]) -> dict[int, Symbols]:
    """Return the symbols of each vocabulary; the last is as large as the texts allow."""
    named: dict[int, Symbols] = {}
    for vocabulary in vocabularies:
        sequences, learnt = byte_pair_symbols(texts, vocabulary)
        named[learnt] = sequences, learnt
        print(f"{learnt} tokens learnt, {sum(map(len, sequences))} in the texts")
        if learnt < vocabulary:
            break
    return named
