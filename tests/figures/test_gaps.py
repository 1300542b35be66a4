"""Figures of observations with gaps and noise scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from studies import Study, line_study, square_study
from tiers import parameters

from popinv.figures.names import FIGURES
from popinv.inference.density.conditions import fitted_observations


def gapped(study: Study) -> Study:
    """Return a study with gaps; two sensors were never seen together, and one never."""
    study = study.without("truth", "noise_known", "intervals")
    observations = study.loaded["observations"].copy(deep=True)
    y = observations["y"].values
    y[np.random.default_rng(0).random(y.shape) < 0.2] = np.nan
    y[::2, 0], y[1::2, 1], y[:, 2] = np.nan, np.nan, np.nan
    observations = observations.assign(
        y=(("system", "observation"), y, observations["y"].attrs),
        noise_scale=("system", np.linspace(0.5, 2, len(y))),
    )
    data, conditions = fitted_observations(observations)
    return Study(
        replace(study.problem, data=data, conditions=conditions),
        {**study.loaded, "observations": observations},
    )


@parameters("make", [line_study], full=[square_study])
def test_every_figure_is_drawn_where_there_are_gaps(make: Callable[[], Study]) -> None:
    study = gapped(make())
    for name in FIGURES:
        figure = study.draw(name)
        figure.set_dpi(20)
        figure.canvas.draw()
        for axes in figure.axes:
            for limits in (axes.get_xlim(), axes.get_ylim()):
                assert np.isfinite(limits).all(), axes.get_title()
            for image in axes.images:
                assert np.isfinite(image.get_clim()).all(), axes.get_title()
