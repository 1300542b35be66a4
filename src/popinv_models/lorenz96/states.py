"""Trajectories of a few Lorenz-96 systems."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.forward.states import refuse_failures
from popinv.store.variables import variable
from popinv_models.lorenz96.integrator import Coefficients, advance
from popinv_models.lorenz96.model import Lorenz96Model
from popinv_models.lorenz96.section import Lorenz96 as Section

# Time for which the many fast variables are kept.
FAST_SPAN = 10.0


def states(
    section: Section, seed: int, z: np.ndarray, stage: str, indices: Sequence[int]
) -> xr.Dataset:
    """Return the variables at the times whose averages are observed.

    The states that the forward model draws for these indices are advanced by its integrator, step
    by step as `solve` does it; their means over places and windows are its observations.

    Parameters
    ----------
    section : Lorenz96
        The section of the configuration.
    seed, z, stage, indices
        As in `popinv.forward.states.states`.

    Returns
    -------
    Dataset
        ``x`` (system, time, place), the slow variables X_k at every sample of all windows; with
        two scales also ``y`` (system, fast_time, place, fast_place), the fast variables Y_jk at
        the samples of the first `FAST_SPAN`. Time begins at the end of the spin-up. The
        attributes ``window`` and ``windows`` give the windows' length and number.

    Raises
    ------
    SolverError
        If a trajectory leaves the range of numbers.
    """
    model = Lorenz96Model(section, seed)
    coefficients = Coefficients.of(np.asarray(z, dtype=float), model.subvariables)
    slow, fast = model.initial_states(np.asarray(indices), stage)
    slow, fast = advance(slow, fast, coefficients, model.time_step, model.spin_up_steps)
    interval = model.sample_every * model.time_step
    samples = model.windows * model.samples
    kept = min(samples, round(FAST_SPAN / interval)) if model.subvariables else 0
    x = np.empty((len(z), samples, model.variables))
    y = np.empty((len(z), kept, *fast.shape[1:]))
    for s in range(samples):
        slow, fast = advance(slow, fast, coefficients, model.time_step, model.sample_every)
        x[:, s] = slow
        if s < kept:
            y[:, s] = fast
    lost = ~np.isfinite(x).all(axis=(1, 2))
    refuse_failures(np.where(lost, "the trajectory left the range of numbers", ""))

    times = interval * np.arange(1, samples + 1)
    slow_variables = xr.Dataset(
        {"x": variable(("system", "time", "place"), x, "slow variables X_k")},
        coords={
            "time": variable("time", times, "time since the spin-up"),
            "place": variable("place", np.arange(1, model.variables + 1), "place k on the ring"),
        },
        attrs={"window": model.window, "windows": model.windows},
    )
    if not model.subvariables:
        return slow_variables
    dims = ("system", "fast_time", "place", "fast_place")
    return slow_variables.assign(y=variable(dims, y, "fast variables Y_jk")).assign_coords(
        fast_time=variable("fast_time", times[:kept], "time since the spin-up"),
        fast_place=variable(
            "fast_place", np.arange(1, model.subvariables + 1), "place j within the sector"
        ),
    )
