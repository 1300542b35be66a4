"""Forward models with sensors at given places, for the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.elastodynamics.model import ElastodynamicsModel
from popinv.forward.elastodynamics.section import Elastodynamics as ElastodynamicsSection
from popinv.forward.porous_flow.model import PorousFlowModel
from popinv.forward.porous_flow.section import PorousFlow as PorousFlowSection

SEED = 0
PLACES = np.array([[0.3, 0.5], [0.6, 0.5], [0.9, 0.5]])


def _sensors(places: Any) -> dict[str, Any]:
    return {"positions": np.asarray(places, dtype=float).tolist()}


def porous_flow(places: Any, **keys: Any) -> PorousFlowModel:
    """Return the model of a section with these keys; a source may be a function."""
    source: Callable[[Any], Any] | None = None
    if callable(keys.get("source")):
        source = keys.pop("source")
    section = PorousFlowSection(kind="porous_flow", sensors=_sensors(places), **keys)
    return PorousFlowModel(section, SEED, source=source)


def elastodynamics(places: Any, **keys: Any) -> ElastodynamicsModel:
    """Return the model of a section with these keys; the amplitude may be any number."""
    source = keys.pop("source", None)
    unchecked = {"amplitude": keys.pop("amplitude")} if "amplitude" in keys else {}
    section = ElastodynamicsSection(kind="elastodynamics", sensors=_sensors(places), **keys)
    return ElastodynamicsModel(section.model_copy(update=unchecked), SEED, source=source)


def bar_or_beam(dimension: int = 1, **keys: Any) -> ElastodynamicsModel:
    """Return an elastic bar, or in two dimensions a cantilever, with sensors at ``PLACES``."""
    return elastodynamics(PLACES[:, :dimension], dimension=dimension, **keys)
