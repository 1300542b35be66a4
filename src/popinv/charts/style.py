"""The style of all figures.

Colours come from the palette of Okabe and Ito, which any colour vision can distinguish. A colour
has the same meaning in all figures. Figures are made without pyplot and with settings that start
from matplotlib's own defaults. Neither the user's settings nor earlier figures change a file, and
the settings are restored afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

MODEL = "#0072B2"  # blue: recovered quantities
TRUTH = "#D55E00"  # vermilion, dashed: true quantities
DATA = "#000000"
ORACLE = "#CC79A7"
CHECK = "#009E73"
FAILURE = "#D55E00"
LIGHT = "#8C8C8C"
INK = "#4D4D4D"  # of axes and notes
# Single systems; their lightness distinguishes them without colour vision.
SYSTEMS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_COLOUR_MAPS = {
    "sequential": "cividis",
    "diverging": "RdBu_r",
    "flow": "viridis",
    "time": "cividis",
    "grey": "gray",
    "warm": "plasma",
}
# The light end of the colours of times is not visible on white.
_LATEST = 0.8

_SETTINGS: dict[Any, Any] = {
    "figure.facecolor": "white",
    "figure.titlesize": 14,
    "figure.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.labelsize": 10.5,
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4D4D4D",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#4D4D4D",
    "ytick.color": "#4D4D4D",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
}


def colour_map(name: str, steps: int = 256) -> ListedColormap:
    """Return the colours of values of this name, in ``steps`` steps."""
    share = np.linspace(0, _LATEST if name == "time" else 1, steps)
    return ListedColormap(matplotlib.colormaps[_COLOUR_MAPS[name]](share))


def shades(name: str, shares: ArrayLike) -> list[str]:
    """Return the colours at shares of the way from the least to the largest value."""
    colours = np.atleast_2d(colour_map(name)(np.asarray(shares, dtype=float)))
    return [to_hex((r, g, b)) for r, g, b, _ in colours.tolist()]


def root(values: ArrayLike) -> np.ndarray:
    """Return the square root, with the sign of the value."""
    return np.sign(values) * np.sqrt(np.abs(values))


def square(values: ArrayLike) -> np.ndarray:
    """Return the square, with the sign of the value."""
    return np.sign(values) * np.square(values)


def root_ticks(low: float, high: float) -> np.ndarray:
    """Return squares of round numbers from 0 up to the larger end, of both signs if low < 0."""
    roots = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, np.sqrt(high))
    ticks = np.square(roots[roots <= np.sqrt(high) * (1 + 1e-9)])
    return np.union1d(-ticks, ticks) if low < 0 else ticks


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's settings, and restore the previous settings afterwards."""
    with matplotlib.rc_context():
        for key, value in matplotlib.rcParamsDefault.items():
            if "backend" not in key:
                matplotlib.rcParams[key] = value
        matplotlib.rcParams.update(_SETTINGS)
        yield


def axis_label(quantity: str, units: str = "1") -> str:
    """Return "quantity [units]", or the quantity alone without units."""
    return quantity if units in ("", "1") else f"{quantity} [{units}]"


def readable(name: str) -> str:
    """Return a name with spaces."""
    return name.replace("_", " ")


def squared(units: str) -> str:
    """Return the unit of a square."""
    if units in ("", "1"):
        return units
    return f"{units}²" if units.isalpha() else f"({units})²"


def evenly(count: int, most: int) -> np.ndarray:
    """Return at most ``most`` of 0, ..., count - 1, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the centred mean over a window that shrinks at the ends, shape of ``values``."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    half = np.minimum.reduce([np.full(len(values), window // 2), i, i[::-1]])
    return (total[i + half + 1] - total[i - half]) / (2 * half + 1)
