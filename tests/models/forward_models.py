"""Forward models with sensors at given places, for the tests."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from popinv_models.elastodynamics.model import ElastodynamicsModel
from popinv_models.elastodynamics.section import Elastodynamics as ElastodynamicsSection
from popinv_models.porous_flow.model import PorousFlowModel
from popinv_models.porous_flow.section import PorousFlow as PorousFlowSection

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


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def slope(sizes: Any, errors: Any) -> float:
    """Return the order of convergence: minus the slope of log error against log size."""
    return -np.polyfit(np.log(sizes), np.log(errors), 1)[0]


def solved_elsewhere(model: Any, z: np.ndarray, folder: Path, threads: int) -> bytes:
    """Return the observations that another process finds, which does not load Firedrake."""
    (folder / "model").write_bytes(pickle.dumps((model, z)))
    script = (
        "import pickle, sys; model, z = pickle.load(open(sys.argv[1], 'rb'));"
        "answer = model.solve(z).observations.tobytes(); assert 'firedrake' not in sys.modules;"
        "sys.stdout.buffer.write(answer)"
    )
    count = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    command = [sys.executable, "-c", script, str(folder / "model")]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout
