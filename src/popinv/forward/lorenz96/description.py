"""What Lorenz-96 is asked and answers, known without its solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from popinv.forward.base import Observations, Parameter

__all__ = [
    "OBSERVABLES",
    "PARAMETERS",
    "Product",
    "field",
    "observed",
    "parameters",
]

Section = Mapping[str, Any]

PARAMETERS = (
    Parameter("forcing", long_name="forcing F of the slow variables"),
    Parameter("coupling", long_name="strength h of the coupling between the scales"),
    Parameter("time_scale", long_name="ratio c of the slow to the fast time scale"),
    Parameter("space_scale", long_name="ratio b of the slow to the fast amplitude"),
)


@dataclass(frozen=True)
class Product:
    """The observable mean_k(first_k second_{k+lag}).

    The fields have one value for every k: "one", "x" for X_k, and "y", "y_squared" and
    "y_neighbours" for the means over j of Y_jk, Y_jk^2 and Y_jk Y_{j+1,k}.
    """

    first: str
    second: str
    lag: int
    long_name: str


OBSERVABLES = {
    "x": Product("x", "one", 0, "X_k"),
    "x_squared": Product("x", "x", 0, "X_k^2"),
    "x_lag_1": Product("x", "x", 1, "X_k X_{k+1}"),
    "x_lag_2": Product("x", "x", 2, "X_k X_{k+2}"),
    "x_lag_3": Product("x", "x", 3, "X_k X_{k+3}"),
    "x_lag_4": Product("x", "x", 4, "X_k X_{k+4}"),
    "y": Product("y", "one", 0, "Y_jk"),
    "y_squared": Product("y_squared", "one", 0, "Y_jk^2"),
    "y_lag_1": Product("y_neighbours", "one", 0, "Y_jk Y_{j+1,k}"),
    "y_mean_squared": Product("y", "y", 0, "mean_j(Y_jk)^2"),
    "x_y": Product("x", "y", 0, "X_k mean_j(Y_jk)"),
    "x_y_lag_1": Product("x", "y", 1, "X_k mean_j(Y_{j,k+1})"),
}


def field(forward: Section) -> None:
    """Return None: no random field is among the parameters."""
    return None


def parameters(forward: Section) -> tuple[Parameter, ...]:
    """Return the entries of z: F for one scale, (F, h, c, b) for two."""
    return PARAMETERS[:1] if forward["scales"] == 1 else PARAMETERS


def observed(forward: Section, seed: int) -> Observations:
    """Return what is observed: averages over space and over each window of time.

    The coordinate ``quantity`` counts the observables. With several windows a second one, ``t``,
    is the middle of the window in time since the end of the spin-up; it runs fastest.
    """
    names, windows = list(forward["observables"]), forward["windows"]
    quantities = np.arange(len(names), dtype=float)
    coordinate_names: tuple[str, ...] = ("quantity",)
    if windows == 1:
        coordinates, labels = quantities[:, None], names
    else:
        times = (np.arange(windows) + 0.5) * forward["window"]
        coordinates = np.column_stack([np.repeat(quantities, windows), np.tile(times, len(names))])
        coordinate_names = ("quantity", "t")
        labels = [f"{name}, window {w + 1}" for name in names for w in range(windows)]
    return Observations(
        coordinates=coordinates,
        coordinate_names=coordinate_names,
        name="average",
        long_name="average over space and time",
        labels=tuple(labels),
    )
