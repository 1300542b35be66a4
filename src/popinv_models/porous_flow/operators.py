"""Finite-element operators of porous medium flow, assembled once by Firedrake.

With linear elements and a permeability that is constant in each cell, the stiffness matrix is
linear in the cell permeabilities: A(kappa) = sum_c kappa_c A_c, where A_c is the stiffness matrix
of cell c alone. `FlowDiscretisation` holds the Firedrake objects; `preassemble` takes from them
A_c, the load vector, the boundary condition and the observation matrix as plain arrays, after
which solving needs neither Firedrake nor PETSc. `preassemble_design` takes the mass matrix M, which
turns the values of a load at the nodes into the load vector, ``b = M f``; and the place of each
unknown in the lattice of vertices, from which a function is interpolated anywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix

from popinv_models.finite_elements.assembly import (
    LowerTriangle,
    cell_unknowns,
    element_matrices,
    lower_triangle,
    narrow_order,
    observation_matrix,
)
from popinv_models.finite_elements.firedrake import load_firedrake

# Enough for a smooth source times a linear test function to keep order 2 with room to spare,
# where Firedrake's own estimate for, say, an exponential of cosines would be far higher.
_SOURCE_QUADRATURE_DEGREE = 4


class FlowDiscretisation:
    """Linear elements on the unit interval or square, as Firedrake objects.

    Parameters
    ----------
    dimension : {1, 2}
        Number of space dimensions.
    elements : int
        Cells in one dimension; squares per side, two triangles each, in two.
    source : float or callable
        f, or a function from the UFL spatial coordinate to a UFL expression for f.
    sensors : ndarray of shape (d_y, dimension)
        Points of observation, inside the domain.
    comm : mpi4py communicator, optional
        Processes that the mesh is spread over; without one it lives on this process alone.

    Attributes
    ----------
    space : firedrake.FunctionSpace
        Continuous, piecewise linear functions.
    permeability : firedrake.Function
        Piecewise constant; one value per cell, in the order of ``midpoints``.
    midpoints : ndarray of shape (n_cells, dimension)
        Cell midpoints.
    """

    def __init__(
        self,
        dimension: int,
        elements: int,
        source: float | Callable[[Any], Any],
        sensors: np.ndarray,
        comm: Any = None,
    ) -> None:
        fd = load_firedrake()
        # One process per batch of systems unless several are requested: the mesh must not be spread
        # over an MPI launcher's ranks by itself.
        comm = fd.COMM_SELF if comm is None else comm
        if dimension == 1:
            self.mesh = fd.UnitIntervalMesh(elements, comm=comm)
        else:
            self.mesh = fd.UnitSquareMesh(elements, elements, comm=comm)
        self.dimension, self.elements = dimension, elements
        self.sensors = sensors
        self.space = fd.FunctionSpace(self.mesh, "CG", 1)
        cells = fd.FunctionSpace(self.mesh, "DG", 0)
        self.permeability = fd.Function(cells)
        coordinates = fd.Function(fd.VectorFunctionSpace(self.mesh, "DG", 0))
        x = fd.SpatialCoordinate(self.mesh)
        coordinates.interpolate(x)
        self.midpoints = coordinates.dat.data_ro.reshape(-1, dimension).copy()
        # A Constant and not a float: a number inside a form is compiled into the kernel.
        self.source = source(x) if callable(source) else fd.Constant(source)
        self.condition = fd.DirichletBC(self.space, 0, "on_boundary")

    def places(self) -> np.ndarray:
        """Return the places of the nodes of this process, (n_nodes, dimension)."""
        fd = load_firedrake()
        places = fd.Function(fd.VectorFunctionSpace(self.mesh, "CG", 1))
        places.interpolate(fd.SpatialCoordinate(self.mesh))
        return places.dat.data_ro.reshape(-1, self.dimension).copy()

    def prescribe(self, source: np.ndarray, sensors: np.ndarray) -> None:
        """Set the load of a system, by its values at the nodes, and the places of its sensors.

        Parameters
        ----------
        source : ndarray of shape (n_nodes,)
            In the order of `places`; between the nodes the load is linear.
        sensors : ndarray of shape (d_y, dimension)
        """
        fd = load_firedrake()
        if not isinstance(self.source, fd.Function):
            self.source = fd.Function(self.space)
        self.source.dat.data[:] = source
        if not np.array_equal(sensors, self.sensors):
            self.sensors = sensors
            vars(self).pop("observe", None)

    def load_form(self) -> Any:
        """Linear form int f v dx."""
        fd = load_firedrake()
        dx = fd.dx(metadata={"quadrature_degree": _SOURCE_QUADRATURE_DEGREE})
        return self.source * fd.TestFunction(self.space) * dx

    def stiffness_form(self) -> Any:
        """Bilinear form int kappa grad u . grad v dx with the piecewise constant permeability."""
        fd = load_firedrake()
        u, v = fd.TrialFunction(self.space), fd.TestFunction(self.space)
        return fd.inner(self.permeability * fd.grad(u), fd.grad(v)) * fd.dx

    @functools.cached_property
    def observe(self) -> Callable[[Any], np.ndarray]:
        """Function from a Firedrake function to its values at the sensors, shape (d_y,)."""
        return load_firedrake().PointEvaluator(self.mesh, self.sensors).evaluate

    def solve_linear(self, permeability: np.ndarray) -> np.ndarray:
        """Assemble and solve one linear system with Firedrake's own ``solve``.

        Parameters
        ----------
        permeability : ndarray of shape (n_cells,)

        Returns
        -------
        ndarray of shape (d_y,)
            Solution at the sensors.
        """
        return self.observe(self._solution(permeability))

    def _solution(self, permeability: np.ndarray) -> Any:
        fd = load_firedrake()
        self.permeability.dat.data[:] = permeability
        u = fd.Function(self.space)
        fd.solve(self.stiffness_form() == self.load_form(), u, bcs=self.condition)
        return u

    def solve_newton(
        self, permeability: np.ndarray, diffusivity: Callable[[Any], Any], degree: int
    ) -> np.ndarray:
        """Solve -div(exp(a) kappa(u) grad u) = f for u itself, by Newton's method.

        Parameters
        ----------
        permeability : ndarray of shape (n_cells,)
            exp(a) in each cell.
        diffusivity : callable
            kappa, from a Firedrake function to a UFL expression.
        degree : int
            Polynomial degree up to which kappa(u) is integrated exactly.

        Returns
        -------
        ndarray of shape (d_y,)
            Solution at the sensors.

        Raises
        ------
        firedrake.ConvergenceError
            If Newton's method does not converge.
        """
        fd = load_firedrake()
        # The linear solution is a positive start where the source is positive, which the
        # degenerate diffusivity u^m needs: at u = 0 its matrix would vanish.
        u = self._solution(permeability)
        v = fd.TestFunction(self.space)
        dx = fd.dx(metadata={"quadrature_degree": degree})
        flux = self.permeability * diffusivity(u) * fd.grad(u)
        fd.solve(
            fd.inner(flux, fd.grad(v)) * dx - self.load_form() == 0,
            u,
            bcs=self.condition,
            solver_parameters={
                "snes_rtol": 1e-12,
                "snes_atol": 1e-14,
                "snes_max_it": 100,
                "snes_linesearch_type": "bt",
                "ksp_type": "preonly",
                "pc_type": "lu",
            },
        )
        return self.observe(u)


@dataclass(frozen=True)
class PorousOperators:
    """The discretisation as arrays, for unknowns ordered to give a narrow band.

    For LAPACK, the lower triangle of the stiffness matrix lies in a flat buffer of
    ``buffer_length`` values: in one dimension the diagonal and then the subdiagonal; in two the
    lower band storage (column after column of ``bandwidth`` + 1 values).

    Parameters
    ----------
    midpoints : ndarray of shape (n_cells, dimension)
        Cell midpoints.
    stiffness : LowerTriangle
        The stiffness matrix; its coefficient is the permeability.
    buffer_length : int
    slots : ndarray of int, shape (n_entries,)
        The place of each entry of ``stiffness`` in the buffer.
    load : ndarray of shape (unknowns,)
        int f phi_i dx.
    largest_load : ndarray of shape (unknowns,)
        The load of a constant source as large as f at its largest, in absolute value.
    observation_pointer, observation_columns, observation_weights : ndarray
        Observation matrix, (d_y, unknowns), by compressed rows.
    """

    midpoints: np.ndarray
    stiffness: LowerTriangle
    buffer_length: int
    slots: np.ndarray
    load: np.ndarray
    largest_load: np.ndarray
    observation_pointer: np.ndarray
    observation_columns: np.ndarray
    observation_weights: np.ndarray

    def observing(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the three arrays of the observation matrix."""
        return self.observation_pointer, self.observation_columns, self.observation_weights

    @functools.cached_property
    def chain(self) -> tuple[np.ndarray, np.ndarray]:
        """In one dimension, the cells from end to end, and 1 / h of each.

        Cell i of the chain lies between the unknowns i - 1 and i; both ends of the chain are held
        at zero.
        """
        lower = self.stiffness
        first, below = lower.pointer[:-1], np.flatnonzero(lower.rows != lower.columns)
        below = below[np.argsort(lower.columns[below])]
        inner, weights = lower.cells[first[below]], -lower.weights[first[below]]
        ends = []
        for unknown, neighbour in ((0, inner[0]), (lower.unknowns - 1, inner[-1])):
            entry = np.flatnonzero((lower.rows == unknown) & (lower.columns == unknown))[0]
            terms = slice(lower.pointer[entry], lower.pointer[entry + 1])
            other = lower.cells[terms] != neighbour
            ends.append((lower.cells[terms][other], lower.weights[terms][other]))
        (left, left_weight), (right, right_weight) = ends
        return (
            np.concatenate([left, inner, right]),
            np.concatenate([left_weight, weights, right_weight]),
        )


def ordered_nodes(discretisation: FlowDiscretisation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nodes of each cell, the inner nodes in the order of the unknowns, and all places.

    Returns
    -------
    cells : ndarray of int, shape (n_cells, dimension + 1)
    order : ndarray of int, shape (unknowns,)
    points : ndarray of shape (n_nodes, dimension)
    """
    space = discretisation.space
    interior = np.ones(space.node_count, dtype=bool)
    interior[discretisation.condition.nodes] = False
    points, cells = discretisation.places(), cell_unknowns(space)
    return cells, narrow_order(cells, interior, points), points


def preassemble(discretisation: FlowDiscretisation) -> PorousOperators:
    """Assemble with Firedrake everything that does not depend on the permeability.

    Returns
    -------
    PorousOperators
    """
    fd = load_firedrake()
    space = discretisation.space
    cells, order, _ = ordered_nodes(discretisation)
    elements = element_matrices(space, lambda u, v: fd.inner(fd.grad(u), fd.grad(v)) * fd.dx)
    lower = lower_triangle(cells, order, elements)

    unknowns, bandwidth = lower.unknowns, lower.bandwidth
    below = lower.rows - lower.columns
    if discretisation.dimension == 1:
        slots = below * unknowns + lower.columns
        buffer_length = 2 * unknowns
    else:
        slots = lower.columns * (bandwidth + 1) + below
        buffer_length = unknowns * (bandwidth + 1)

    load = fd.assemble(discretisation.load_form()).dat.data_ro[order]
    unit = fd.assemble(fd.TestFunction(space) * fd.dx).dat.data_ro[order]
    matrix = observation_matrix(space, discretisation.sensors)[:, order].tocsr()
    matrix.sort_indices()
    return PorousOperators(
        midpoints=discretisation.midpoints,
        stiffness=lower,
        buffer_length=buffer_length,
        slots=slots,
        load=load,
        largest_load=unit * np.max(np.abs(load) / unit),
        observation_pointer=matrix.indptr.astype(np.int64),
        observation_columns=matrix.indices.astype(np.int64),
        observation_weights=matrix.data.copy(),
    )


@dataclass(frozen=True)
class DesignOperators:
    """Arrays for loads and sensors that differ from system to system.

    The unknowns have the order of `PorousOperators`.

    Parameters
    ----------
    nodes : ndarray of shape (n_nodes, dimension)
        Vertices of the mesh, those on the boundary included.
    mass_pointer, mass_columns, mass_weights : ndarray
        M, (unknowns, n_nodes), by compressed rows.
    lattice : ndarray of int, shape ((elements + 1) ** dimension,)
        The unknown at each vertex of the lattice, x slowest; -1 on the boundary.
    rising : int
        In two dimensions, 1 if the diagonal of a square goes from its lower left to its upper
        right, 0 if it goes from its upper left to its lower right.
    """

    nodes: np.ndarray
    mass_pointer: np.ndarray
    mass_columns: np.ndarray
    mass_weights: np.ndarray
    lattice: np.ndarray
    rising: int


def preassemble_design(discretisation: FlowDiscretisation) -> DesignOperators:
    """Assemble the arrays with Firedrake."""
    fd = load_firedrake()
    cells, order, points = ordered_nodes(discretisation)
    elements = element_matrices(discretisation.space, lambda u, v: fd.inner(u, v) * fd.dx)
    local = cells.shape[1]
    rows, columns = np.repeat(cells, local, axis=1).ravel(), np.tile(cells, (1, local)).ravel()
    mass = coo_matrix((elements.reshape(-1), (rows, columns)), shape=(len(points),) * 2)
    mass = mass.tocsr()[order]
    mass.sort_indices()

    side = discretisation.elements
    vertices = np.rint(points * side).astype(np.int64)
    strides = (side + 1) ** np.arange(discretisation.dimension - 1, -1, -1)
    lattice = np.full((side + 1) ** discretisation.dimension, -1, dtype=np.int64)
    lattice[vertices[order] @ strides] = np.arange(len(order))
    # Along a rising diagonal both coordinates of a cell's vertices grow together.
    first = vertices[cells[0]]
    both = {(0, 0), (1, 1)}
    rising = both <= {tuple(vertex) for vertex in (first - first.min(axis=0)).tolist()}
    return DesignOperators(
        nodes=points,
        mass_pointer=mass.indptr.astype(np.int64),
        mass_columns=mass.indices.astype(np.int64),
        mass_weights=mass.data.copy(),
        lattice=lattice,
        rising=int(rising),
    )
