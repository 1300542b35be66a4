"""The test problem: quadratic problems, and MNIST; its sizes, table of claims and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from popinv.downstream.analog import quadratic
from popinv.downstream.analog.digits import PAPER, RANGES, DigitsSize
from popinv.downstream.claims import Claim
from popinv.store.variables import variable

__all__ = ["SIZES", "Size", "claims", "digit_numbers", "result_dataset"]

Numbers = Mapping[str, float]
Accuracies = Mapping[str, Mapping[str, list[float]]]

# Test accuracies that count as the paper's, in percentage points.
_POINTS = 2.0


@dataclass(frozen=True)
class Size:
    """The sizes of the quadratic problems, and of each network's training."""

    quadratic: quadratic.Size
    digits: Mapping[str, DigitsSize]


SIZES = {
    "workstation": Size(
        quadratic.Size(20_000, 40_000, 4000),
        {"fcn": DigitsSize(6000, 2000, 5, 5), "cnn": DigitsSize(2000, 2000, 4, 4)},
    ),
    "paper": Size(
        quadratic.Size(200_000, 400_000, 40_000),
        {
            "fcn": DigitsSize(60_000, 10_000, 80, 35, hardware=True),
            "cnn": DigitsSize(60_000, 10_000, 80, 35, hardware=True),
        },
    ),
}


def claims(numbers: Numbers, reached: Accuracies, size: Size) -> list[Claim]:
    """Return the table of claims."""
    return [
        *_floor_claims(numbers),
        *_bound_claims(numbers),
        *_device_claims(numbers),
        *_accuracy_claims(reached, size.digits),
    ]


def _floor_claims(numbers: Numbers) -> Iterator[Claim]:
    first, *_, last = quadratic.RATES
    slow, *_, slowest = quadratic.TRANSFERS
    fall = f"falls from rate {first:g} to {last:g} by"

    def ratio(method: str, quantity: str, a: float, b: float) -> float:
        return numbers[f"{method}_{a:g}_{quantity}"] / numbers[f"{method}_{b:g}_{quantity}"]

    square = ratio("digital", "squared_gradient", first, last)
    yield Claim(
        f"digital descent: mean squared gradient {fall} the ratio of the rates (within 20 %)",
        "reconstruction",
        first / last,
        square,
        abs(square * last / first - 1) < 0.2,
    )
    square = ratio("analog", "squared_gradient", first, last)
    yield Claim(
        f"analog descent: mean squared gradient {fall} far less, since a floor is left (below 4)",
        "paper",
        "below 4",
        square,
        square < 4,
    )
    off = ratio("analog", "bias", first, last)
    yield Claim(
        f"analog descent: distance of the mean iterate from the solution at rate {first:g} over "
        f"that at {last:g} (within 20 %)",
        "paper",
        1.0,
        off,
        abs(off - 1) < 0.2,
    )
    off, theory = numbers[f"analog_{last:g}_bias"], numbers["analog_bias_theory"]
    yield Claim(
        "analog descent minimises the loss with a penalty E|noise| |w|^2/(2 reach): distance of "
        "the mean iterate from the solution (within 10 %)",
        "paper",
        theory,
        off,
        abs(off / theory - 1) < 0.1,
    )
    square = ratio("tiki_taka", "squared_gradient", slow, slowest)
    yield Claim(
        f"Tiki-Taka: mean squared gradient falls from transfer {slow:g} to {slowest:g} by the "
        "ratio (within 30 %)",
        "paper",
        slow / slowest,
        square,
        abs(square * slowest / slow - 1) < 0.3,
    )
    worst = max(numbers[f"tiki_taka_{rate:g}_bias"] for rate in quadratic.TRANSFERS)
    yield Claim(
        "Tiki-Taka: largest distance of the mean iterate from the solution over that of analog "
        "descent (below 0.2)",
        "paper",
        0.0,
        worst / off,
        worst / off < 0.2,
    )
    square = numbers[f"residual_{slow:g}_squared_gradient"]
    plain = numbers[f"tiki_taka_{slow:g}_squared_gradient"]
    yield Claim(
        f"residual learning's mixing damps Tiki-Taka: mean squared gradient over Tiki-Taka's at "
        f"transfer {slow:g} (below 1)",
        "reconstruction",
        "below 1",
        square / plain,
        square < plain,
    )
    for name, values, rises in (
        ("range", quadratic.RANGES, False),
        ("noise", quadratic.NOISES, True),
    ):
        offs = [numbers[f"analog_{name}_{value:g}_bias"] for value in values]
        right = all((b > a) == rises for a, b in pairwise(offs))
        yield Claim(
            f"analog descent: the error {'rises' if rises else 'falls'} with the {name} from "
            f"{values[0]:g} to {values[-1]:g} (at every step)",
            "paper",
            "yes",
            f"{offs[0]:.3g} to {offs[-1]:.3g}",
            right,
        )
    offs = [numbers[f"analog_start_{name}_bias"] for name in ("zero", "solution", "random")]
    yield Claim(
        "analog descent: largest over smallest error from three starts (below 1.1)",
        "paper",
        1.0,
        max(offs) / min(offs),
        max(offs) / min(offs) < 1.1,
    )
    for name, expected in (("digital", "falls"), ("analog_samples", "floor")):
        a, *_, b = quadratic.PER_SAMPLE_RATES
        fallen = numbers[f"{name}_{a:g}_loss"] / numbers[f"{name}_{b:g}_loss"]
        yield Claim(
            f"Figure 1, {name.replace('_', ' of single ')}: loss at rate {a:g} over that at {b:g} "
            f"({'above 4' if expected == 'falls' else 'within 25 % of 1'})",
            "paper",
            expected,
            fallen,
            fallen > 4 if expected == "falls" else abs(fallen - 1) < 0.25,
        )


def _bound_claims(numbers: Numbers) -> Iterator[Claim]:
    at = numbers["bound_0.003_squared_gradient_to_noise_times_s"]
    yield Claim(
        "Theorem 3's instance: mean squared gradient over sigma^2 S at rate 0.003 (within 10 %)",
        "paper",
        4.0,
        at,
        abs(at / 4 - 1) < 0.1,
    )
    at = numbers["bound_0.003_floor_to_noise_times_s"]
    yield Claim(
        "Theorem 3's instance: squared mean gradient over sigma^2 S at rate 0.003 (within 10 %)",
        "reconstruction",
        1.0,
        at,
        abs(at - 1) < 0.1,
    )


def _device_claims(numbers: Numbers) -> Iterator[Claim]:
    for name, words, expected in (
        ("saturation_factor", "away from 0 at 0.9 of the range, 1 - |w|/reach", 0.1),
        ("fast_reset_factor", "towards 0 at 0.9 of the range, 1 + |w|/reach", 1.9),
    ):
        ours = numbers[name]
        yield Claim(
            f"mean pulse {words} of its size (within 3 %)",
            "paper",
            expected,
            ours,
            abs(ours / expected - 1) < 0.03,
        )
    ours = numbers["largest_weight_to_range"]
    yield Claim(
        "weights stay in range under increments as large as the range (largest |w|/reach)",
        "paper",
        "at most 1",
        ours,
        ours <= 1 + 1e-12,
    )
    for kind, order in (("analog", "the rate"), ("tiki_taka", "the product of both rates")):
        ours = numbers[f"{kind}_drift_to_theory"]
        yield Claim(
            f"{kind.replace('_', '-')}: mean drift at a critical point over {order} times "
            "E|noise| w/reach (within 5 %)",
            "paper",
            1.0,
            ours,
            abs(ours - 1) < 0.05,
        )
    ours = numbers["second_array_decay_to_theory"]
    yield Claim(
        "noise drives P to 0: mean after 50 steps over (1 - rate E|noise|/reach)^50 (within 5 %)",
        "paper",
        1.0,
        ours,
        abs(ours - 1) < 0.05,
    )
    offs = [numbers[f"tiki_taka_shift_{shift:g}_bias"] for shift in quadratic.SHIFTS]
    yield Claim(
        "Tiki-Taka needs the symmetric point of P at 0: error when that is at "
        f"{quadratic.SHIFTS[1]:g} of the range over that at 0 (above 2)",
        "paper",
        "above 2",
        offs[1] / offs[0],
        offs[1] > 2 * offs[0],
    )
    for name in quadratic.DEVICES:
        ours = numbers[f"tiki_taka_{name}_bias"] / numbers[f"analog_{name}_bias"]
        yield Claim(
            f"{name.replace('_', ' ')} device: Tiki-Taka's error over that of analog descent "
            "(below 0.2)",
            "this package",
            "below 0.2",
            ours,
            ours < 0.2,
        )


def _accuracy_claims(reached: Accuracies, sizes: Mapping[str, DigitsSize]) -> Iterator[Claim]:
    for kind, by_method in reached.items():
        size = sizes[kind]
        how = f"{size.images} images, {size.epochs} epochs"
        for name, accuracies in by_method.items():
            expected = _paper_accuracy(kind, name)
            if expected is None:
                continue
            method = name.replace("tiki_taka", "Tiki-Taka").replace("_", ", range ")
            yield Claim(
                f"{kind.upper()}, {method}: test accuracy in per cent ({how}; within {_POINTS:g} "
                "points)",
                "paper",
                expected,
                accuracies[-1],
                abs(accuracies[-1] - expected) < _POINTS,
            )
        for reach in RANGES[kind]:
            names = f"tiki_taka_{reach:g}", f"analog_{reach:g}"
            ours = by_method[names[0]][-1] - by_method[names[1]][-1]
            first, second = (_paper_accuracy(kind, name) or 0.0 for name in names)
            yield Claim(
                f"{kind.upper()}, range {reach:g}: accuracy of Tiki-Taka less that of analog "
                "descent (same sign)",
                "paper",
                round(first - second, 2),
                ours,
                (ours > 0) == (first > second),
            )


def _paper_accuracy(kind: str, name: str) -> float | None:
    method, _, reach = name.rpartition("_") if name != "digital" else (name, "", "")
    if method not in PAPER[kind]:
        return None
    return PAPER[kind][method][RANGES[kind].index(float(reach)) if reach else 0]


def digit_numbers(reached: Accuracies) -> dict[str, float]:
    """Return the accuracies after the last epoch, by name."""
    return {
        f"{kind}_{name}_accuracy": accuracies[-1]
        for kind, by_method in reached.items()
        for name, accuracies in by_method.items()
    }


def result_dataset(numbers: Numbers, reached: Accuracies) -> xr.Dataset:
    """Return the numbers of the quadratic problems, and accuracies after each epoch."""
    rows = {f"{kind}_{name}": a for kind, by in reached.items() for name, a in by.items()}
    epochs = max((len(a) for a in rows.values()), default=0)
    table = np.full((len(rows), epochs), np.nan)
    for row, accuracies in zip(table, rows.values(), strict=True):
        row[: len(accuracies)] = accuracies
    names: Any = {"number": list(numbers), "training": list(rows)}
    return xr.Dataset(
        {
            "value": variable("number", list(numbers.values()), "value on the quadratic problems"),
            "accuracy": variable(
                ("training", "epoch"), table, "test accuracy, nan after the last epoch", "percent"
            ),
        },
        coords={
            dim: variable(dim, np.array(values, dtype=np.str_), dim)
            for dim, values in names.items()
        },
    )
