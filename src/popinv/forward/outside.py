"""Checks on a forward model of the user's own, at the start of its study."""

from __future__ import annotations

from typing import Any, cast

from popinv.forward.section import ForwardSection
from popinv.sections.outside import demand, in_users_code


def check_forward(section: ForwardSection, seed: int) -> None:
    """Check the description of a forward model by its section; nothing is solved.

    Parameters
    ----------
    seed : int
        The study's seed.

    Raises
    ------
    ConfigError
        The message states what the section says, and what it has to say.
    """
    # NumPy is imported for the few studies that need this check.
    import numpy as np

    from popinv.forward.base import Observations, Parameter

    given = cast(Any, section)
    with in_users_code("parameters"):
        parameters = given.parameters()
    demand(
        bool(parameters) and all(isinstance(entry, Parameter) for entry in parameters),
        f"'parameters' must return a tuple of popinv.forward.base.Parameter, not {parameters!r}",
    )
    names = tuple(parameter.name for parameter in parameters)
    demand(len(set(names)) == len(names), f"the parameters are {names}, but no two may be equal")
    demand(
        section.parameter_names() == names,
        f"'parameter_names' returns {section.parameter_names()}, but 'parameters' has {names}",
    )
    with in_users_code("observed"):
        observed = given.observed(seed)
    demand(
        isinstance(observed, Observations),
        f"'observed' must return popinv.forward.base.Observations, not {observed!r}",
    )
    places = np.asarray(observed.coordinates)
    width = len(observed.coordinate_names)
    demand(
        places.ndim == 2 and len(places) > 0 and places.shape[1] == width,
        f"'observed' has coordinates of shape {places.shape}, but they must be of shape "
        f"(d_y, {width}) for the coordinates {', '.join(observed.coordinate_names)}",
    )
    demand(bool(np.isfinite(places).all()), "'observed' has coordinates that are not finite")
    demand(
        len(observed.labels) in (0, len(places)),
        f"'observed' has {len(observed.labels)} labels for {len(places)} observations",
    )
    demand(
        section.observation_count() == len(places),
        f"'observation_count' returns {section.observation_count()}, but 'observed' has "
        f"{len(places)} observations",
    )
    demand(
        section.time_count() == observed.time_count,
        f"'time_count' returns {section.time_count()}, but 'observed' has "
        f"{observed.time_count or 'no'} times",
    )
