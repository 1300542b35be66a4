r"""Loads and sensors that differ from system to system.

The load of a system is ``f = s g``, with its strength s and its shape g: 1 everywhere, or
``g(x) = exp(-|x - c|^2 / (2 w^2))``. The equation for v = K(u) is linear in f, so the systems are
solved with the load g, and v is multiplied by s. The shape is interpolated from its values at the
nodes, ``b = M g``, with an error of second order in the size of the elements, like the error of
the elements themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popinv.store.compiled import njit
from popinv_models.finite_elements.operator_cache import kept
from popinv_models.porous_flow import operators
from popinv_models.porous_flow.kernels import observe
from popinv_models.porous_flow.operators import (
    DesignOperators,
    FlowDiscretisation,
    PorousOperators,
    preassemble_design,
)
from popinv_models.porous_flow.section import PorousFlow as Section


class FixedSensors:
    """Observation of solutions at the same places in all systems."""

    def __init__(self, op: PorousOperators) -> None:
        self.matrix = op.observing()

    def observe(self, vectors: np.ndarray, values: np.ndarray) -> None:
        """Write the values (n, d_y) of solutions (n, at least unknowns)."""
        observe(vectors, *self.matrix, values)

    def repeated(self, times: int) -> FixedSensors:
        """Return the observation of ``times`` consecutive solutions of each system."""
        return self

    def spread(self, values: np.ndarray, right: np.ndarray) -> None:
        """Add O^T values (n, d_y) to ``right`` (n, unknowns)."""
        _spread(*self.matrix, values, right)


class OwnSensors:
    """Observation of each solution at places of its own.

    Parameters
    ----------
    columns, weights : ndarray of shape (n, d_y, m)
        The m unknowns on which each value depends, and their weights.
    """

    def __init__(self, columns: np.ndarray, weights: np.ndarray) -> None:
        self.columns, self.weights = columns, weights

    def observe(self, vectors: np.ndarray, values: np.ndarray) -> None:
        """Write the values (n, d_y) of solutions (n, at least unknowns)."""
        _observe_own(vectors, self.columns, self.weights, values)

    def repeated(self, times: int) -> OwnSensors:
        """Return the observation of ``times`` consecutive solutions of each system."""
        return OwnSensors(
            np.repeat(self.columns, times, axis=0), np.repeat(self.weights, times, axis=0)
        )

    def spread(self, values: np.ndarray, right: np.ndarray) -> None:
        """Add O^T values (n, d_y) to ``right`` (n, unknowns)."""
        _spread_own(self.columns, self.weights, values, right)


@dataclass(frozen=True)
class Systems:
    """The loads and the places of the sensors of n systems.

    Parameters
    ----------
    strength : ndarray of shape (n,)
        s.
    shape : ndarray of shape (n, n_nodes)
        g at the nodes.
    sensors : ndarray of shape (n, d_y, dimension)
        Their places.
    reasons : ndarray of object, shape (n,)
        Why a system cannot be solved, or "".
    """

    strength: np.ndarray
    shape: np.ndarray
    sensors: np.ndarray
    reasons: np.ndarray


@dataclass(frozen=True)
class Loaded:
    """Load vectors of n systems, and the observation of their solutions.

    Parameters
    ----------
    loads : ndarray of shape (unknowns,) or (n, unknowns)
    sensors : FixedSensors or OwnSensors
    strength : ndarray of shape (n, 1), optional
        The factor on the observed v; None if it is 1.
    """

    loads: np.ndarray
    sensors: FixedSensors | OwnSensors
    strength: np.ndarray | None = None

    def scale(self, values: np.ndarray) -> None:
        """Multiply values (..., n, d_y) with the strength of each system."""
        if self.strength is not None:
            values *= self.strength


class Design:
    """The part of a section that differs from system to system, or is no uniform load.

    Parameters
    ----------
    section : PorousFlow
    sensors : ndarray of shape (d_y, dimension)
        Places of the sensors, where these are the same in all systems.
    """

    def __init__(self, section: Section, sensors: np.ndarray) -> None:
        self._section, self._sensors = section, sensors
        self._names, self._first = section.design_names(), len(section.parameters())
        self.own_sensors = section.own_sensors()

    @classmethod
    def of(cls, section: Section, sensors: np.ndarray) -> Design | None:
        """Return the design, or None if there is none and the load is uniform."""
        plain = not section.design_list and section.source_shape == "uniform"
        return None if plain else cls(section, sensors)

    def systems(self, z: np.ndarray, nodes: np.ndarray) -> Systems:
        """Return what is known of systems z (n, d_z + d_design), for nodes (n_nodes, dimension)."""
        section, n = self._section, len(z)
        reasons = np.full(n, "", dtype=object)
        shape = np.ones((n, len(nodes)))
        if section.source_shape == "gaussian":
            axes = section.axes()
            centre = np.column_stack([self._column(z, f"source_{axis}") for axis in axes])
            width = self._column(z, "source_width")
            # A narrower load would fall between the nodes.
            reasons[width * section.elements < 2] = "the load is narrower than two elements"
            _bumps(nodes, centre, np.where(reasons == "", width, 1.0), shape)
        places = np.broadcast_to(self._sensors, (n, *self._sensors.shape))
        if self.own_sensors:
            first = self._first + next(
                i for i, name in enumerate(self._names) if name == f"{section.axes()[0]}_1"
            )
            places = z[:, first : first + self._sensors.size].reshape(places.shape)
            outside = ~((places > 0) & (places < 1)).all(axis=(1, 2))
            reasons[outside] = "a sensor lies outside the domain"
        return Systems(self._column(z, "source"), shape, places, reasons)

    def operators(
        self, of: PorousOperators, discretise: Callable[[], FlowDiscretisation]
    ) -> DesignOperators:
        """Return the arrays that loads and sensors need; ``discretise`` gives the mesh."""
        section, lower = self._section, of.stiffness
        return kept(
            DesignOperators,
            operators,
            # These arrays give the order of the unknowns.
            (section.dimension, section.elements, lower.rows, lower.columns, lower.cells),
            lambda: preassemble_design(discretise()),
        )

    def loaded(
        self, z: np.ndarray, op: DesignOperators, fixed: FixedSensors, reasons: np.ndarray
    ) -> Loaded:
        """Return loads and observations of systems z; fill in the reasons of faulty ones."""
        systems = self.systems(z, op.nodes)
        reasons[:] = np.where(reasons == "", systems.reasons, reasons)
        loads = np.empty((len(z), len(op.mass_pointer) - 1))
        observe(systems.shape, op.mass_pointer, op.mass_columns, op.mass_weights, loads)
        sensors = self._own(systems, op) if self.own_sensors else fixed
        return Loaded(loads, sensors, systems.strength[:, None])

    def _own(self, systems: Systems, op: DesignOperators) -> OwnSensors:
        """Return the observation of solutions at the places of the systems' own sensors."""
        places, side = systems.sensors, self._section.elements
        inside = np.clip(np.where(np.isfinite(places), places, 0.5), 0, 1) * side
        cell = np.minimum(inside.astype(np.int64), side - 1)
        vertices, weights = _interpolation(cell, inside - cell, side, op.rising)
        columns = op.lattice[vertices]
        boundary = columns < 0
        return OwnSensors(np.where(boundary, 0, columns), np.where(boundary, 0.0, weights))

    def _column(self, z: np.ndarray, name: str) -> np.ndarray:
        """Return a quantity of each system: its own, or the section's."""
        if name in self._names:
            return z[:, self._first + self._names.index(name)]
        return np.full(len(z), float(getattr(self._section, name)))


def _interpolation(
    cell: np.ndarray, at: np.ndarray, side: int, rising: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices of the element around each place, and their weights, (n, d_y, m).

    Parameters
    ----------
    cell : ndarray of int, shape (n, d_y, dimension)
        The interval, or the square, of each place.
    at : ndarray of shape (n, d_y, dimension)
        The place in it, from 0 to 1.
    side : int
        Elements along a side.
    rising : int
        The diagonal of the squares; see `DesignOperators`.
    """
    s = at[..., 0]
    if at.shape[-1] == 1:
        first = cell[..., 0]
        return np.stack([first, first + 1], axis=-1), np.stack([1 - s, s], axis=-1)
    t, across = at[..., 1], side + 1
    corner = cell[..., 0] * across + cell[..., 1]
    if rising:
        # The vertices (0, 0), (1, 1), and the one on the side of the place.
        right = s >= t
        third = np.where(right, corner + across, corner + 1)
        vertices = [corner, third, corner + across + 1]
        weights = [1 - np.maximum(s, t), np.abs(s - t), np.minimum(s, t)]
    else:
        upper = s + t > 1
        third = np.where(upper, corner + across + 1, corner)
        vertices = [third, corner + across, corner + 1]
        weights = [np.abs(1 - s - t), np.where(upper, 1 - t, s), np.where(upper, 1 - s, t)]
    return np.stack(vertices, axis=-1), np.stack(weights, axis=-1)


@njit
def _bumps(nodes: np.ndarray, centre: np.ndarray, width: np.ndarray, shape: np.ndarray) -> None:
    """Write exp(-|x - c|^2 / (2 w^2)) at the nodes, for each row."""
    for i in range(shape.shape[0]):
        for p in range(nodes.shape[0]):
            squared = 0.0
            for d in range(nodes.shape[1]):
                squared += (nodes[p, d] - centre[i, d]) ** 2
            shape[i, p] = np.exp(-0.5 * squared / width[i] ** 2)


@njit
def _observe_own(
    vectors: np.ndarray, columns: np.ndarray, weights: np.ndarray, values: np.ndarray
) -> None:
    """Evaluate each solution at its own places."""
    for i in range(columns.shape[0]):
        for s in range(columns.shape[1]):
            total = 0.0
            for t in range(columns.shape[2]):
                total += weights[i, s, t] * vectors[i, columns[i, s, t]]
            values[i, s] = total


@njit
def _spread_own(
    columns: np.ndarray, weights: np.ndarray, values: np.ndarray, right: np.ndarray
) -> None:
    """Add O^T values to ``right``, for places that differ from row to row."""
    for i in range(columns.shape[0]):
        for s in range(columns.shape[1]):
            for t in range(columns.shape[2]):
                right[i, columns[i, s, t]] += weights[i, s, t] * values[i, s]


@njit
def _spread(
    pointer: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    values: np.ndarray,
    right: np.ndarray,
) -> None:
    """Add O^T values to ``right`` (n, unknowns)."""
    for i in range(values.shape[0]):
        for s in range(values.shape[1]):
            for t in range(pointer[s], pointer[s + 1]):
                right[i, columns[t]] += weights[t] * values[i, s]
