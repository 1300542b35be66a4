"""Arrays for loads and sensors that differ from system to system.

Firedrake assembles, once, the mass matrix M, which turns the values of a load at the nodes into the
load vector, ``b = M f``; and the place of each unknown in the lattice of vertices, from which a
function is interpolated anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix

from popinv.forward.assembly import element_matrices
from popinv.forward.firedrake import load_firedrake
from popinv.forward.porous_flow.operators import FlowDiscretisation, ordered_nodes


@dataclass(frozen=True)
class DesignOperators:
    """The arrays, for unknowns in the order of `PorousOperators`.

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
