"""The map of who wins: steps of both descents by exponent, vocabulary and accuracy.

All numbers are of exact sums under Zipf's law, without chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.bigram import gradient_descent, sign_descent
from popinv_papers.bigram.curves import METHODS
from popinv_papers.kit.kept import kept

EXPONENTS = (
    *(0.25, 0.5, 0.625, 0.75, 0.875, 0.95, 1.0),
    *(1.05, 1.1, 1.175, 1.25, 1.375, 1.5, 1.75, 2.0),
)
TARGETS = (0.3, 0.1, 0.03)
_STEPS_TO = {"gradient": gradient_descent.steps_to, "sign": sign_descent.steps_to}
# Slopes are of sizes from here on, where the power law of the steps has set in.
_LARGE = 1000


def steps_map(
    sizes: Sequence[int],
    exponents: Sequence[float] = EXPONENTS,
    targets: Sequence[float] = TARGETS,
) -> xr.Dataset:
    """Return the steps of both descents, shape (target, exponent, size)."""
    dims = ("target", "map_exponent", "map_size")
    shape = len(targets), len(exponents), len(sizes)
    steps = {method: np.empty(shape, dtype=np.int64) for method in METHODS}
    # The sizes are outside, so that the sums of powers are made once for each law.
    places = [(size, exponent) for size in sizes for exponent in exponents]
    for size, exponent in tqdm(places, desc="map", unit="law", disable=None):
        part = partial(_steps, size, exponent, targets)
        found = kept(f"map {size} {exponent:g} to {targets}", part)
        for method in METHODS:
            place = slice(None), exponents.index(exponent), sizes.index(size)
            steps[method][place] = found[method]
    return xr.Dataset(
        {
            f"steps_{method}": variable(dims, steps[method], f"steps of {method} descent")
            for method in METHODS
        },
        coords={
            "target": variable("target", list(targets), "relative loss to reach"),
            "map_exponent": variable("map_exponent", list(exponents), "exponent of Zipf's law"),
            "map_size": variable("map_size", list(sizes), "size of the vocabulary"),
        },
    )


def _steps(size: int, exponent: float, targets: Sequence[float]) -> dict[str, list[int]]:
    return {
        method: [_STEPS_TO[method](size, exponent, target) for target in targets]
        for method in METHODS
    }


def steps_at(result: xr.Dataset, method: str, exponent: float, size: int, target: float) -> float:
    """Return the steps at one place of the map."""
    place = {"map_exponent": exponent, "map_size": size, "target": target}
    return float(result[f"steps_{method}"].sel(place))


def slope(result: xr.Dataset, method: str, exponent: float, target: float) -> float:
    """Return b of steps ~ size^b, by least squares in logarithms over sizes from 1000 on."""
    steps = result[f"steps_{method}"].sel(map_exponent=exponent, target=target)
    sizes = steps["map_size"].values
    large = sizes >= min(_LARGE, sizes[-2])
    return float(np.polyfit(np.log(sizes[large]), np.log(steps.values[large]), 1)[0])
