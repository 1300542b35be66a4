"""Draw every figure of a study."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from popinv.figures.study import draw_all
from popinv.inference.density.build import descent_problem
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of


def plot_figures(model: Model, folder: str | Path, *, seed: int, **artefacts: xr.Dataset) -> None:
    """Draw every figure of a study into a folder.

    Parameters
    ----------
    folder : path
    seed : int
        The study's seed.
    **artefacts : Dataset
        As in :func:`popinv.figures.study.draw_all`.
    """
    surrogate = surrogate_of(artefacts["surrogate"])
    problem = descent_problem(model, artefacts["observations"], surrogate, seed, "figures")
    draw_all(problem, artefacts, folder)
