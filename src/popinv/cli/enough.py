"""Whether a study has enough systems for its law and its noise.

Means, deviations and correlations of the parameters describe a population, so the number of
systems limits them, however well each system is observed. With N systems whose parameters were
known exactly, the relative standard error of a standard deviation is 1 / sqrt(2 (N - 1)). The
standard error of a correlation near zero is 1 / sqrt(N - 1). Noise and incomplete observations
add to both.
"""

from __future__ import annotations

import math

import numpy as np

from popinv.config.study import Study
from popinv.observation_files.table import ObservationTable
from popinv.population.model import covariate_names

# Systems, and observations of all systems together, that are wanted for each parameter.
_SYSTEMS_EACH, _OBSERVATIONS_EACH = 5, 5


def too_few_systems(study: Study, table: ObservationTable | None) -> list[str]:
    """Return a line for each way in which a study has too few systems or observations.

    Parameters
    ----------
    table : ObservationTable or None
        The observations from its file; None if they are synthetic.
    """
    law = study.law.law(study.forward)
    observed = study.forward.observed(study.seed or 0)
    noise = study.noise.model(observed, covariate_names(study.law, study.noise))
    if table is not None:
        systems, observations = len(table.values), int(np.isfinite(table.values).sum())
    elif study.is_synthetic():
        systems = int(getattr(study.observations, "count", 0))
        members = study.synthetic().members_of_group
        observations = systems * members * study.forward.observation_count()
    else:
        return []
    what = "groups" if study.law.level_names() else "systems"
    if table is not None and table.tree is not None and not table.tree.nested:
        systems = table.tree.units(table.present_members)
        what = "labels of a crossed level"
    return advice(
        systems, observations, len(law.names), int(np.sum(law.correlations)), len(noise.names), what
    )


def advice(
    systems: int,
    observations: int,
    of_law: int,
    correlations: int,
    of_noise: int,
    what: str = "systems",
) -> list[str]:
    """Return a line for each way in which systems or observations are too few.

    Parameters
    ----------
    systems, observations : int
        Number of systems, and of observations of all of them together.
    of_law, correlations, of_noise : int
        Number of parameters of the law, of the correlations among them, and of the noise.
    what : str
        What the systems are.
    """
    lines = []
    wanted = _SYSTEMS_EACH * of_law
    if systems < wanted:
        best = f"{100 / math.sqrt(2 * max(systems - 1, 1)):.0f} % for standard deviations"
        remedy = (
            "give parameters a known value (law.fixed) or one value for all systems "
            f"(standard_deviation: 0), or observe more {what}"
        )
        if correlations:
            best += f" and {1 / math.sqrt(max(systems - 1, 1)):.2f} for correlations"
            which = "the correlation"
            if correlations > 1:
                which = f"some of the {correlations} correlations"
            remedy = f"leave out {which}, {remedy}"
        lines.append(
            f"{systems} {what} are few for a law of {of_law} parameters, which needs about "
            f"{wanted} ({_SYSTEMS_EACH} for each). Expect standard errors of at least {best}. To "
            f"reduce them, {remedy}"
        )
    every = of_law + of_noise
    if observations < _OBSERVATIONS_EACH * every:
        lines.append(
            f"{observations} observations in all are few for {every} parameters of law and noise, "
            f"which need about {_OBSERVATIONS_EACH * every} ({_OBSERVATIONS_EACH} for each): "
            "choose a noise or a law with fewer parameters, or observe more"
        )
    return lines
