"""The test problem: errors of the formulas, selections from three pools, and their cost."""

from __future__ import annotations

from popinv.store import storage
from popinv.threads import fixed_threads
from popinv_papers.influence import problem
from popinv_papers.influence.claims import claims
from popinv_papers.influence.figures import draw_landmarks, draw_selections
from popinv_papers.influence.pretraining import brown_and_letters
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def check(given: CheckInput) -> CheckOutcome:
    """Compare the claims on selection by influence with measurements."""
    size = problem.SIZES[given.size]
    brown, letters, encoder, pretrained = given.files
    model = size.language.model
    corpus = brown_and_letters(brown, letters, model.vocabulary, model.length)
    archives = (brown, letters, encoder)
    with fixed_threads():
        result = problem.run(size, corpus, storage.load(pretrained), archives, given.seed)
    metrics = problem.metrics(result)
    return CheckOutcome(
        metrics=metrics,
        figures={"selections": draw_selections(result), "landmarks": draw_landmarks(result)},
        result=result,
        claims=claims(result),
    )
