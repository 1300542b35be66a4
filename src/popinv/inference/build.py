"""From the sections of a checked configuration to the problem of a descent."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.forward.build import Section, observed
from popinv.inference.problem import DescentSettings, Problem
from popinv.inference.traits import fitted_observations
from popinv.population.laws.build import law, law_spread, law_values
from popinv.population.noise.build import noise
from popinv.surrogate.networks import Surrogate

__all__ = ["descent_problem", "descent_settings", "start"]

# Of a law's entry whose spread is zero; a factor e is a large change of most of them.
_LAW_SCALE = 0.5


def descent_settings(section: Section) -> DescentSettings:
    """Return the descent's settings from the ``descent`` section."""
    known = DescentSettings.__dataclass_fields__
    return DescentSettings(**{key: value for key, value in section.items() if key in known})


def descent_problem(
    study: Section,
    observations: xr.Dataset,
    surrogate: Surrogate,
    seed: int,
    stage: str,
) -> Problem:
    """Return the problem of fitting the study's law and noise through a surrogate.

    Parameters
    ----------
    study : mapping
        With the sections ``forward``, ``law`` and ``noise``.
    observations : Dataset
        The study's ``observations.zarr``; its noise scales and gaps become the problem's traits.
    surrogate : Surrogate
    seed, stage : int, str
        Address of the random draws.
    """
    forward = study["forward"]
    data, traits = fitted_observations(observations)
    noise_model = noise(study["noise"], observed(forward, seed))
    # A spread of zero fixes the first design, not the descent.
    spread = law_spread(study["law"], forward)
    scale = np.where(spread > 0, spread, _LAW_SCALE)
    return Problem(
        data=data,
        simulate=surrogate,
        law=law(study["law"], forward),
        noise=noise_model,
        scale=np.concatenate([scale, noise_model.scale]),
        seed=seed,
        stage=stage,
        traits=traits,
    )


def start(study: Section, problem: Problem) -> np.ndarray:
    """Return the unconstrained p = (alpha, gamma) where the study's estimates start."""
    alpha = law_values(study["law"], study["law"]["start"], study["forward"])
    return np.concatenate([alpha, problem.noise.from_natural(study["noise"]["start"])])
