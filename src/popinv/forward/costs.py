"""Memory and time that a forward model takes, as upper bounds for what its jobs ask of a cluster.

The counts are of the arrays that grow with the mesh and of the operations on them; the rates are
a few times what was measured on one core. What the user's own simulator takes is not known: its
time limit bounds the time, and the memory is a guess that a retry doubles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ForwardCost", "forward_cost"]

Section = Mapping[str, Any]

# Firedrake with what it imports.
_FIREDRAKE_MB = 300.0
# A process of the user's own, of which `parallel` may run.
_SIMULATOR_MB = 1000.0
# Floating-point operations a second of one core.
_FLOPS = 1e9


@dataclass(frozen=True)
class ForwardCost:
    """What solving takes.

    Parameters
    ----------
    megabytes : float
        Beside Python and the package, whatever the number of systems.
    seconds : float
        For each system.
    setup_seconds : float
        Once for each job.
    cells : int
        Cells of the mesh on which the field lives, 1 without a mesh.
    firedrake_megabytes : float
        Part of ``megabytes`` that each process takes, however many there are.
    state : float
        Numbers of the whole state of a system, as pictures show it.
    distributed_megabytes, distributed_seconds : float
        Where a solve is shared by processes: memory beside that, and time, of all together.
    """

    megabytes: float
    seconds: float
    setup_seconds: float = 0.0
    cells: int = 1
    firedrake_megabytes: float = 0.0
    state: float = 0.0
    distributed_megabytes: float = 0.0
    distributed_seconds: float = 0.0


def forward_cost(forward: Section, parameters: int) -> ForwardCost:
    """Return what solving takes.

    Parameters
    ----------
    forward : mapping
        The ``forward`` section of a checked configuration.
    parameters : int
        Number of parameters of a system.
    """
    kinds = {
        "porous_flow": _porous_flow,
        "elastodynamics": _elastodynamics,
        "lorenz96": _lorenz96,
    }
    if forward["kind"] in kinds:
        return kinds[forward["kind"]](forward, parameters)
    return ForwardCost(
        megabytes=_SIMULATOR_MB * forward["parallel"],
        # A call that reaches the limit is halved, so that one bad system costs a few limits; but
        # a simulator that needs its limit for every system would be hopeless.
        seconds=forward["time_limit"] / 20,
        setup_seconds=10 * forward["time_limit"],
    )


def _porous_flow(forward: Section, parameters: int) -> ForwardCost:
    side = forward["elements"]
    if forward["dimension"] == 1:
        cells, unknowns, bandwidth = side, side, 1
    else:
        cells, unknowns, bandwidth = 2 * side**2, side**2, side + 1
    # Per cell: the mesh, the element matrices and their sorting, and the basis of the field.
    on_cells = cells * (2000 + 24 * parameters)
    return ForwardCost(
        megabytes=_FIREDRAKE_MB + 1e-6 * (on_cells + 2 * 8 * unknowns * (bandwidth + 1)),
        # The factorisation is LAPACK's, and faster.
        seconds=(0.4 * unknowns * (bandwidth + 5) ** 2 + 40 * cells * parameters) / _FLOPS,
        setup_seconds=120 + 2e-4 * cells,
        cells=cells,
        firedrake_megabytes=_FIREDRAKE_MB,
        # A sensor at every vertex, and the functions of the field there.
        state=unknowns * (10 + parameters),
        # Conjugate gradients with algebraic multigrid, its hierarchy built anew for each system.
        distributed_megabytes=1e-6 * (on_cells + 2000 * unknowns),
        distributed_seconds=0.1 + 1e-4 * unknowns,
    )


def _elastodynamics(forward: Section, parameters: int) -> ForwardCost:
    side = forward["elements"]
    if forward["dimension"] == 1:
        cells, unknowns, bandwidth = side, side, 1
    else:
        # Squares of two quadratic triangles each, with two components at every node.
        across = max(2, round(side * forward["height"]))
        cells = 2 * side * across
        unknowns, bandwidth = 2 * (2 * side) * (2 * across + 1), 6 * (2 * across + 1)
    steps = forward["times"] * forward["steps"]
    on_cells = cells * (20000 + 24 * parameters)
    return ForwardCost(
        megabytes=_FIREDRAKE_MB + 1e-6 * (on_cells + 6 * 8 * unknowns * (bandwidth + 1)),
        seconds=2 * unknowns * (bandwidth + 5) * (2 * bandwidth + 10 * steps) / _FLOPS,
        setup_seconds=120 + 1e-3 * cells,
        cells=cells,
        # At a few hundred times, or at those of the observations.
        state=3.0 * unknowns * max(400, forward["times"]),
    )


def _lorenz96(forward: Section, parameters: int) -> ForwardCost:
    fast = forward["subvariables"] if forward["scales"] == 2 else 0
    variables = forward["variables"] * (1 + fast)
    observed_time = forward["windows"] * forward["window"]
    duration = forward["spin_up"] + observed_time
    interval = forward["sample_every"] * forward["time_step"]
    # Four stages of about ten operations, and the averages.
    return ForwardCost(
        megabytes=1e-6 * 8 * 64 * variables * 20,
        seconds=60 * variables * duration / forward["time_step"] / _FLOPS,
        setup_seconds=120,
        # The fast variables are kept for a short while only.
        state=(forward["variables"] * observed_time + variables * 10) / interval,
    )
