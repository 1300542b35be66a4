"""A stored surrogate beside a forward model that has more places than when it was stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import xarray as xr

from popinv.sections.base import plain

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


def at_places_of(surrogate: Any, forward: ForwardSection) -> Any:
    """Return a stored surrogate; if it is the forward model itself, that of ``forward``.

    Added systems may have further times and events, at which a function is evaluated, too.

    Parameters
    ----------
    surrogate : Dataset or TrainedSurrogate
        A simulator in memory, and a surrogate that was trained, are returned as they are.
    """
    if not isinstance(surrogate, xr.Dataset):
        return surrogate
    held, wanted = json.loads(surrogate.attrs["hyperparameters"]), plain(forward)
    if held.get("kind") != "exact" or held["forward"] == wanted:
        return surrogate
    told = json.dumps({**held, "forward": wanted}, sort_keys=True)
    return surrogate.assign_attrs(hyperparameters=told)
