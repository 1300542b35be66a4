"""Finite-element operators of elastodynamics, assembled once by Firedrake.

With a Young's modulus that is constant in each cell, the stiffness matrix is linear in the cells'
moduli: K(E) = sum_c E_c K_c. `BodyDiscretisation` holds the Firedrake objects; `preassemble` takes
from them K_c, the mass matrix, the loads and the observation matrix as plain arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from popinv_models.finite_elements.assembly import (
    LowerTriangle,
    cell_unknowns,
    element_matrices,
    lower_triangle,
    narrow_order,
    observation_matrix,
)
from popinv_models.finite_elements.firedrake import load_firedrake

# Enough for a smooth source times a quadratic test function to keep the order of the elements.
_SOURCE_QUADRATURE_DEGREE = 6

_CLAMPED, _LOADED = 1, 2  # Firedrake's numbers of the sides x = 0 and x = 1


class BodyDiscretisation:
    """Finite elements on a bar or a cantilever of length 1, as Firedrake objects.

    Parameters
    ----------
    dimension : {1, 2}
        Linear elements on a bar, or quadratic triangles on a cantilever: linear ones are far too
        stiff in bending.
    elements : int
        Cells along the length.
    height, poisson_ratio : float
        Height of the cantilever; not used in one dimension.
    places : ndarray of shape (n_places, dimension)
        Points of observation, in fractions of length and height.

    Attributes
    ----------
    space : firedrake.FunctionSpace
        Displacements: scalar along the bar, vectors in the plane of the cantilever.
    stiffness : firedrake.Function
        Young's modulus, piecewise constant, in the order of ``midpoints``.
    midpoints : ndarray of shape (n_cells, dimension)
        Cell midpoints, in fractions of length and height.
    """

    def __init__(
        self,
        dimension: int,
        elements: int,
        height: float,
        poisson_ratio: float,
        places: np.ndarray,
    ) -> None:
        fd = load_firedrake()
        self.dimension = self.degree = dimension  # linear along the bar, quadratic in the plane
        self.size = np.array([1.0, height])[:dimension]
        self.places = places * self.size
        self._poisson_ratio = poisson_ratio
        # One process per batch of systems: the mesh must not be spread over an MPI launcher's
        # ranks, so it lives on this process alone.
        if dimension == 1:
            self.mesh = fd.UnitIntervalMesh(elements, comm=fd.COMM_SELF)
            self.scalar_space = self.space = fd.FunctionSpace(self.mesh, "CG", self.degree)
        else:
            across = max(2, round(elements * height))
            self.mesh = fd.RectangleMesh(elements, across, 1.0, height, comm=fd.COMM_SELF)
            self.scalar_space = fd.FunctionSpace(self.mesh, "CG", self.degree)
            self.space = fd.VectorFunctionSpace(self.mesh, "CG", self.degree)
        self.stiffness = fd.Function(fd.FunctionSpace(self.mesh, "DG", 0))
        centres = fd.Function(fd.VectorFunctionSpace(self.mesh, "DG", 0))
        centres.interpolate(fd.SpatialCoordinate(self.mesh))
        self.midpoints = centres.dat.data_ro.reshape(-1, dimension) / self.size
        self.condition = fd.DirichletBC(self.space, 0, _CLAMPED)

    def mass_form(self, u: Any, v: Any) -> Any:
        """Bilinear form int u . v dx of the mass, with density 1."""
        fd = load_firedrake()
        return fd.inner(u, v) * fd.dx

    def stiffness_form(self, u: Any, v: Any, stiffness: Any = 1) -> Any:
        """Bilinear form int sigma(u) : grad v dx.

        sigma = E u' along the bar. In plane strain, with eps(u) = (grad u + grad u^T) / 2,

            sigma = E / (1 + nu) (eps(u) + nu / (1 - 2 nu) div u I).
        """
        fd = load_firedrake()
        if self.dimension == 1:
            return fd.inner(stiffness * fd.grad(u), fd.grad(v)) * fd.dx
        return fd.inner(stiffness * self.unit_stress(u), fd.sym(fd.grad(v))) * fd.dx

    def unit_stress(self, u: Any) -> Any:
        """Stress at Young's modulus 1 of a displacement, as a UFL expression."""
        fd = load_firedrake()
        if self.dimension == 1:
            return fd.grad(u)
        nu = fd.Constant(self._poisson_ratio)
        pressure = nu / (1 - 2 * nu) * fd.div(u) * fd.Identity(2)
        return (fd.sym(fd.grad(u)) + pressure) / (1 + nu)

    def end_form(self, v: Any) -> Any:
        """Linear form of a traction 1 at x = 1, along the bar or across the cantilever."""
        fd = load_firedrake()
        return (v if self.dimension == 1 else v[1]) * fd.ds(_LOADED)

    def source_form(self, source: Callable[[Any, Any], Any], time: Any, v: Any) -> Any:
        """Linear form int f(x, t) . v dx."""
        fd = load_firedrake()
        dx = fd.dx(metadata={"quadrature_degree": _SOURCE_QUADRATURE_DEGREE})
        return fd.inner(source(fd.SpatialCoordinate(self.mesh), time), v) * dx

    @functools.cached_property
    def observe(self) -> Callable[[Any], np.ndarray]:
        """Function from a displacement to its observations at the places."""
        evaluator = load_firedrake().PointEvaluator(self.mesh, self.places)
        if self.dimension == 1:
            return evaluator.evaluate
        return lambda u: evaluator.evaluate(u)[:, 1]


@dataclass(frozen=True)
class Unknowns:
    """The degrees of freedom of a displacement, one for each node and component.

    Parameters
    ----------
    cells : ndarray of int, shape (n_cells, m)
        The unknowns of each cell.
    places : ndarray of shape (n, dimension)
        Where each stands; the components of a node follow each other.
    order : ndarray of int
        Those that are not clamped, in the order that gives matrices a narrow band.
    """

    cells: np.ndarray
    places: np.ndarray
    order: np.ndarray


def ordered_unknowns(discretisation: BodyDiscretisation) -> Unknowns:
    """Return the unknowns of a discretisation, and their order."""
    fd = load_firedrake()
    space, dimension = discretisation.space, discretisation.dimension
    free = np.ones((space.node_count, dimension), dtype=bool)
    free[discretisation.condition.nodes] = False
    nodes = fd.Function(fd.VectorFunctionSpace(discretisation.mesh, "CG", discretisation.degree))
    nodes.interpolate(fd.SpatialCoordinate(discretisation.mesh))
    places = np.repeat(nodes.dat.data_ro.reshape(-1, dimension), dimension, axis=0)
    cells = cell_unknowns(space)
    return Unknowns(cells, places, narrow_order(cells, free.ravel(), places))


@dataclass(frozen=True)
class ElasticOperators:
    """The discretisation as arrays, for unknowns ordered to give a narrow band.

    Parameters
    ----------
    midpoints : ndarray of shape (n_cells, dimension)
        Cell midpoints, in fractions of length and height.
    stiffness : LowerTriangle
        The stiffness matrix; the mass matrix has the same places.
    mass : ndarray of shape (n_entries,)
        Entries of the mass matrix, at the places of ``stiffness``.
    pointer, columns, entries : ndarray of int
        Both triangles of such a matrix by compressed rows, and which entry of the lower triangle
        stands at each place.
    diagonals, offsets : ndarray of shape (m, unknowns), ndarray of int, shape (m,)
        The mass matrix by diagonals: entry (i, i + o - w) is ``diagonals[d, i]``, where o is
        ``offsets[d]`` and w half of the largest offset. m is a multiple of four; what fills it up
        is zero.
    end : ndarray of shape (unknowns,)
        The load of a traction 1 at x = 1.
    end_size : float
        Size of the end: 1 for the bar, the height of the cantilever.
    sources : ndarray of shape (steps or 1, unknowns)
        Load of the source, averaged over the two ends of each time step, or zeros for all steps.
    observation_pointer, observation_columns, observation_weights : ndarray
        Observation matrix, (n_places, unknowns), by compressed rows.
    """

    midpoints: np.ndarray
    stiffness: LowerTriangle
    mass: np.ndarray
    pointer: np.ndarray
    columns: np.ndarray
    entries: np.ndarray
    diagonals: np.ndarray
    offsets: np.ndarray
    end: np.ndarray
    end_size: float
    sources: np.ndarray
    observation_pointer: np.ndarray
    observation_columns: np.ndarray
    observation_weights: np.ndarray

    def observing(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the three arrays of the observation matrix."""
        return self.observation_pointer, self.observation_columns, self.observation_weights


def preassemble(
    discretisation: BodyDiscretisation,
    source: Callable[[Any, Any], Any] | None,
    time_step: float,
    steps: int,
) -> ElasticOperators:
    """Assemble with Firedrake everything that does not depend on stiffness and damping.

    Parameters
    ----------
    source : callable or None
        f, from UFL coordinates and time to a UFL expression.
    steps : int
        Number of time steps, for which the source is assembled.

    Returns
    -------
    ElasticOperators
    """
    fd = load_firedrake()
    space, dimension = discretisation.space, discretisation.dimension
    unknowns = ordered_unknowns(discretisation)
    cells, order = unknowns.cells, unknowns.order

    def triangle(form: Callable[[Any, Any], Any]) -> LowerTriangle:
        return lower_triangle(cells, order, element_matrices(space, form))

    stiffness, mass = triangle(discretisation.stiffness_form), triangle(discretisation.mass_form)
    pointer, columns, entries = _both_triangles(stiffness)
    of_mass = np.add.reduceat(mass.weights, mass.pointer[:-1])
    diagonals, offsets = _by_diagonals(of_mass, stiffness)
    v = fd.TestFunction(space)

    def load(form: Any) -> np.ndarray:
        return fd.assemble(form).dat.data_ro.reshape(-1)[order]

    sources = np.zeros((1, len(order)))
    if source is not None:
        time = fd.Constant(0.0)
        form = discretisation.source_form(source, time, v)
        at_times = _at_times(form, time, time_step * np.arange(steps + 1))[:, order]
        sources = (at_times[:-1] + at_times[1:]) / 2

    observed = observation_matrix(discretisation.scalar_space, discretisation.places)
    # Columns change from nodes to unknowns; the last component of a vector is observed.
    observed = csr_matrix(
        (observed.data, observed.indices * dimension + dimension - 1, observed.indptr),
        shape=(len(discretisation.places), len(unknowns.places)),
    )[:, order].tocsr()
    observed.sort_indices()
    return ElasticOperators(
        midpoints=discretisation.midpoints,
        stiffness=stiffness,
        mass=of_mass,
        pointer=pointer,
        columns=columns,
        entries=entries,
        diagonals=diagonals,
        offsets=offsets,
        end=load(discretisation.end_form(v)),
        end_size=1.0 if dimension == 1 else float(discretisation.size[1]),
        sources=sources,
        observation_pointer=observed.indptr.astype(np.int64),
        observation_columns=observed.indices.astype(np.int64),
        observation_weights=observed.data.copy(),
    )


def _at_times(form: Any, time: Any, times: np.ndarray) -> np.ndarray:
    """Linear form at each value of the constant ``time`` in it, shape (n_times, n)."""
    # The form is prepared once, as `assemble` would spend ten times as long on analysing it again.
    from firedrake.assemble import get_assembler

    assembler, loads = get_assembler(form), []
    for value in times:
        time.assign(value)
        loads.append(assembler.assemble().dat.data_ro.reshape(-1).copy())
    return np.array(loads)


def _both_triangles(lower: LowerTriangle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row pointer, columns, and places in the lower triangle, of the whole symmetric matrix."""
    index = np.arange(len(lower.rows))
    off = lower.rows != lower.columns
    rows = np.concatenate([lower.rows, lower.columns[off]])
    columns = np.concatenate([lower.columns, lower.rows[off]])
    entries = np.concatenate([index, index[off]])
    by_row = np.lexsort((columns, rows))
    pointer = np.searchsorted(rows[by_row], np.arange(lower.unknowns + 1))
    return pointer, columns[by_row], entries[by_row]


def _by_diagonals(entries: np.ndarray, lower: LowerTriangle) -> tuple[np.ndarray, np.ndarray]:
    """Diagonals and offsets of a symmetric matrix, without diagonals that are zero."""
    distance = lower.rows - lower.columns
    kept = np.unique(distance[entries != 0])
    widest, count = int(kept.max()), 2 * len(kept) - 1
    offsets = np.zeros(-(-count // 4) * 4, dtype=np.int64)
    offsets[:count] = widest + np.concatenate([-kept[:0:-1], kept])
    diagonals = np.zeros((len(offsets), lower.unknowns))
    for d, offset in enumerate(offsets[:count] - widest):
        there = distance == abs(offset)
        at = lower.rows if offset <= 0 else lower.columns
        diagonals[d, at[there]] = entries[there]
    return diagonals, offsets
