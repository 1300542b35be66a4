"""The map of who wins: steps of both descents by exponent, vocabulary and accuracy.

All numbers are of exact sums under Zipf's law, without chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.downstream.bigram import gradient_descent, sign_descent
from popinv.downstream.bigram.curves import METHODS
from popinv.store.variables import variable

__all__ = ["EXPONENTS", "TARGETS", "slope", "steps_at", "steps_map"]

EXPONENTS = (0.25, 0.5, 0.625, 0.75, 0.875, 1.0, 1.1, 1.25, 1.375, 1.5, 1.75, 2.0)
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
    for column, size in enumerate(sizes):
        for row, exponent in enumerate(exponents):
            for method in METHODS:
                steps[method][:, row, column] = [
                    _STEPS_TO[method](size, exponent, target) for target in targets
                ]
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
