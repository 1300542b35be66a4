"""From the sections of a checked configuration to the problem of a descent."""

from __future__ import annotations

import numpy as np

from popinv.forward.build import Section, observed
from popinv.inference.problem import DescentSettings, Problem
from popinv.population.build import law, law_spread, law_values, noise
from popinv.surrogate.networks import Surrogate

__all__ = ["descent_problem", "descent_settings", "round_settings", "start"]

# Steps of the noise are bounded in its logarithms; a factor e is a large change of any of them.
_NOISE_SCALE = 0.5


def descent_settings(section: Section) -> DescentSettings:
    """Return the descent's settings from the ``descent`` section."""
    known = DescentSettings.__dataclass_fields__
    return DescentSettings(**{key: value for key, value in section.items() if key in known})


def descent_problem(
    study: Section,
    data: np.ndarray,
    surrogate: Surrogate,
    seed: int,
    stage: str,
    free_law: bool = True,
    free_noise: bool = True,
) -> Problem:
    """Return the problem of fitting the study's law and noise to data through a surrogate."""
    forward = study["forward"]
    noise_model = noise(study["noise"], observed(forward, seed))
    # A spread of zero fixes the first design, not the descent.
    spread = law_spread(study["law"], forward)
    scale = np.where(spread > 0, spread, _NOISE_SCALE)
    return Problem(
        data=data,
        simulate=surrogate,
        law=law(study["law"], forward),
        noise=noise_model,
        scale=np.concatenate([scale, np.full(len(noise_model.names), _NOISE_SCALE)]),
        seed=seed,
        stage=stage,
        free_law=free_law,
        free_noise=free_noise,
    )


def round_settings(iterations: int) -> DescentSettings:
    """Return the settings of a round's own descent, which do not depend on the final one's."""
    return DescentSettings(iterations=iterations)


def start(study: Section, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return the unconstrained (alpha, gamma) where the study's descents start."""
    alpha = law_values(study["law"], study["law"]["start"], study["forward"])
    return alpha, problem.noise.from_natural(study["noise"]["start"])
