"""Solve the forward model for one chunk of the proposals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.forward.base import ClaimedDerivatives, Solutions
from popinv.forward.datasets import origin_of, solves

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


def _journal(model: Any, folder: str, least_seconds: float) -> AbstractContextManager[None]:
    """Return the journal of a simulator, or nothing for a model of the package."""
    keep = getattr(model, "journal", None)
    return nullcontext() if keep is None else keep(folder, least_seconds)


@contextmanager
def _timed(forward: ForwardSection, model: Any, folder: str | None, systems: int) -> Iterator[None]:
    """Measure the solves within, where nothing is known of their time."""
    if folder is None or not forward.cost().guess:
        yield
        return
    # Imported here, as it is no part of what is solved.
    from popinv.forward.solve_times import SolveTimer, solve_times_file

    with SolveTimer(solve_times_file(folder, forward)) as timer:
        timed = getattr(model, "timed", None)
        if timed is not None:
            with timed(timer.add):
                yield
        else:
            started = time.monotonic()
            yield
            timer.add(systems, time.monotonic() - started)


def solve_chunk(
    forward: ForwardSection,
    proposals: xr.Dataset,
    *,
    seed: int,
    round_name: str,
    chunk: int = 0,
    chunk_size: int | None = None,
    journal: tuple[str, float] | None = None,
    results: str | None = None,
) -> xr.Dataset:
    """Return the solves of one chunk of the proposals.

    The first chunk of round 0 also checks the derivatives of a simulator that claims to have any.

    Parameters
    ----------
    proposals : Dataset
        ``z`` along ``sample``.
    seed : int
        The study's seed.
    round_name : str
        "0", "1", ..., "truth", "check", ...; with the row it names what is random inside.
    chunk, chunk_size : int
        Number and size of the chunk; without a size, all proposals are solved.
    journal : (str, float), optional
        Folder of the journals of one's own simulators, and the seconds of the shortest solve that
        is kept there.
    results : str, optional
        Folder of the results, where the time of solves is kept if nothing was known of it.

    Raises
    ------
    SolverError
        If the simulator cannot be used, or claims derivatives that are wrong. A solve that fails
        is a row of NaN with a reason.
    """
    size = proposals.sizes["sample"] if chunk_size is None else chunk_size
    first = chunk * size
    rows = proposals.isel(sample=slice(first, first + size))
    z, description = rows["z"].values, forward.observed(seed)
    if len(z):
        stage, model = f"solve/{round_name}", forward.model(seed)
        if stage == "solve/0" and first == 0 and isinstance(model, ClaimedDerivatives):
            model.check_derivatives(z)
        keeping = nullcontext() if journal is None else _journal(model, *journal)
        with keeping, _timed(forward, model, results, len(z)):
            solutions = model.solve(z, stage, first)
    else:
        solutions = Solutions(np.empty((0, len(description))), np.empty(0, dtype=object))
    print(f"{len(z)} solves, {int(solutions.failed.sum())} failed")
    return solves(z, solutions, list(rows["parameter"].values), description, origin_of(rows))
