"""One simulated number beside theory, over batches of independent paths, with its criterion."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from popinv_papers.kit.claims import Part, Range, Source
from popinv_papers.kit.kept import kept
from popinv_papers.sgd_dynamics.landscapes import Landscape
from popinv_papers.sgd_dynamics.noises import Noise
from popinv_papers.sgd_dynamics.simulation import Runs, simulate

BATCHES = 10
"""Batches of independent paths, which take the place of seeds."""

# Long enough for every path to end; a path that does not raises.
_FOREVER = 10**9


@dataclass(frozen=True)
class Size:
    """Numbers of paths and learning rates of the test problem.

    Attributes
    ----------
    paths, exit_paths : int
        Paths of a mean time or of a slope near a maximum; paths of an exit time from a basin.
    share_paths : int
        Paths of a probability, which is wanted within 0.01.
    sticking_rates, quartic_rates, kramers_rates, heavy_rates : tuple of float
        Descending. A slope is that between the first and the last.
    share_rate : float
        Learning rate of the probabilities.
    """

    paths: int
    exit_paths: int
    share_paths: int
    sticking_rates: tuple[float, ...]
    quartic_rates: tuple[float, ...]
    kramers_rates: tuple[float, ...]
    heavy_rates: tuple[float, ...]
    share_rate: float


SIZES = {
    "workstation": Size(
        2000, 4000, 40_000, (1e-2, 1e-3, 1e-4), (1e-2, 1e-3), (0.15, 0.1), (0.1, 0.03, 0.01), 1e-2
    ),
    # The paper's own experiments are unknown to us; this is a larger size for the same tables.
    "paper": Size(
        *(10_000, 10_000, 100_000, (1e-2, 1e-3, 1e-4), (1e-2, 1e-3, 3e-4)),
        *((0.15, 0.1, 0.08), (0.1, 0.03, 0.01, 3e-3), 1e-3),
    ),
}


@dataclass(frozen=True)
class Comparison:
    """One number by theory and by simulation.

    Attributes
    ----------
    name : str
        Name of the metric.
    claim : str
        Words for the table.
    expected : float or str
        By theory, or what the paper says.
    values : ndarray of shape (batches,)
    criterion : Range
    control : (str, ndarray of shape (batches,)), optional
        What was taken away, and the same measurement then.
    part, source, where : str
        As in a row of the table.
    why : str
        What is known of the cause where the criterion is not met.
    """

    name: str
    claim: str
    expected: float | str
    values: np.ndarray
    criterion: Range
    control: tuple[str, np.ndarray] | None = None
    part: Part = "headline"
    source: Source = "a reconstruction of the paper"
    where: str = "abstract"
    why: str = ""


def run(
    landscape: Landscape,
    noise: Noise,
    rate: float,
    start: float,
    paths: int,
    seed: int,
    stage: str,
    within: tuple[float, float] = (-np.inf, np.inf),
    steps: int = _FOREVER,
) -> Runs:
    """Return the paths of :func:`popinv_papers.sgd_dynamics.simulation.simulate`.

    They are a part of the test problem that is kept where it takes long. The name of the part says
    the stage, and a hash says everything else.
    """
    slope = landscape.breaks.tolist(), landscape.coefficients.tolist()
    asked = (slope, noise, rate, start, steps, paths, seed, within)
    part = f"{stage} {sha256(repr(asked).encode()).hexdigest()[:16]}"

    def simulated() -> dict[str, np.ndarray]:
        return vars(simulate(landscape, noise, rate, start, steps, paths, seed, stage, within))

    return Runs(**kept(part, simulated))


def slopes(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return each batch's slope over the ends of x: from x (n,), values (n, batches)."""
    return (values[-1] - values[0]) / (x[-1] - x[0])
