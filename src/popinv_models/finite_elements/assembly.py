"""Finite-element matrices as plain arrays, for solvers that need neither Firedrake nor PETSc.

A matrix that depends on a coefficient, constant in each cell, is linear in it: the matrix is the
sum over cells of the coefficient times the matrix of that cell alone. Firedrake assembles the
cells' matrices once; here they become the lower triangle of a matrix whose unknowns are ordered to
give a narrow band.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from popinv.store.compiled import njit
from popinv_models.finite_elements.firedrake import load_firedrake


def to_scipy(matrix: Any) -> csr_matrix:
    """Return an assembled Firedrake matrix by compressed rows."""
    pointer, columns, values = matrix.petscmat.getValuesCSR()
    return csr_matrix((values, columns, pointer), shape=matrix.petscmat.getSize())


def cell_unknowns(space: Any) -> np.ndarray:
    """Numbers of the unknowns of each cell.

    Parameters
    ----------
    space : firedrake.FunctionSpace
        Scalar or vector functions; the components of a node are numbered one after the other.

    Returns
    -------
    ndarray of int, shape (n_cells, unknowns per cell)
    """
    nodes, components = space.cell_node_map().values, space.value_size
    return (nodes[:, :, None] * components + np.arange(components)).reshape(len(nodes), -1)


def element_matrices(space: Any, form: Callable[[Any, Any], Any]) -> np.ndarray:
    """Matrix of every cell for a form that integrates over cells alone.

    On the broken space, whose functions are the continuous ones cut at the cell
    boundaries, the assembled matrix consists of the element matrices, one block per cell.

    Parameters
    ----------
    space : firedrake.FunctionSpace
    form : callable
        From trial and test function to the bilinear form.

    Returns
    -------
    ndarray of shape (n_cells, m, m)
        With rows and columns in the order of `cell_unknowns`.
    """
    fd = load_firedrake()
    broken = space.broken_space()
    matrix = to_scipy(fd.assemble(form(fd.TrialFunction(broken), fd.TestFunction(broken))))
    unknowns = cell_unknowns(broken)
    size = unknowns.shape[1]
    blocks = matrix[np.repeat(unknowns, size, axis=1).ravel(), np.tile(unknowns, (1, size)).ravel()]
    return np.asarray(blocks).reshape(len(unknowns), size, size)


def observation_matrix(space: Any, points: np.ndarray) -> csr_matrix:
    """Matrix from the nodal values of scalar functions to their values at points.

    Parameters
    ----------
    space : firedrake.FunctionSpace
        Scalar functions.
    points : ndarray of shape (n_points, dimension)
        Inside the domain.

    Returns
    -------
    csr_matrix of shape (n_points, n_nodes)
    """
    fd = load_firedrake()
    cloud = fd.VertexOnlyMesh(space.mesh(), points)
    at_points = fd.FunctionSpace(cloud, "DG", 0)
    matrix = to_scipy(fd.assemble(fd.interpolate(fd.TrialFunction(space), at_points)))
    # The vertex-only mesh sorts its points by cell; carry the index of each point along.
    given = fd.FunctionSpace(cloud.input_ordering, "DG", 0)
    index = fd.Function(given)
    index.dat.data[:] = np.arange(len(points))
    row_of = fd.assemble(fd.interpolate(index, at_points)).dat.data_ro.astype(int)
    return matrix[np.argsort(row_of)]


def narrow_order(cells: np.ndarray, free: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Free unknowns in the order, of a few candidates, that gives the smallest bandwidth.

    Parameters
    ----------
    cells : ndarray of int, shape (n_cells, m)
        From `cell_unknowns`.
    free : ndarray of bool, shape (n,)
        False for the unknowns that a boundary condition fixes.
    points : ndarray of shape (n, dimension)
        Place of each unknown.

    Returns
    -------
    ndarray of int, shape (number of free unknowns,)
    """
    points = np.round(points, 12)
    inside = np.flatnonzero(free)
    local = cells.shape[1]
    rows = np.repeat(cells, local, axis=1).ravel()
    columns = np.tile(cells, (1, local)).ravel()
    graph = csr_matrix((np.ones(len(rows)), (rows, columns)))[inside][:, inside]

    candidates = [inside[reverse_cuthill_mckee(graph, symmetric_mode=True)]]
    for sign in (1.0, -1.0):
        key = points[inside] * np.array([sign] + [1.0] * (points.shape[1] - 1))
        candidates += [inside[np.lexsort(key.T)], inside[np.lexsort(key.T[::-1])]]

    def bandwidth(order: np.ndarray) -> int:
        position = np.full(len(free), -1)
        position[order] = np.arange(len(order))
        both = free[rows] & free[columns]
        return int(np.max(np.abs(position[rows[both]] - position[columns[both]]), initial=0))

    return min(candidates, key=bandwidth)


@dataclass(frozen=True)
class LowerTriangle:
    """Lower triangle of a symmetric matrix that is linear in one coefficient per cell.

    Entry s stands at (``rows[s]``, ``columns[s]``), column after column, and is

        sum over t in pointer[s], ..., pointer[s + 1] - 1 of weights[t] * coefficient[cells[t]].

    Parameters
    ----------
    unknowns, bandwidth : int
        Size of the matrix, and number of its subdiagonals.
    rows, columns : ndarray of int, shape (n_entries,)
        The row never above the column.
    pointer, cells, weights : ndarray
        The sums as above.
    """

    unknowns: int
    bandwidth: int
    rows: np.ndarray
    columns: np.ndarray
    pointer: np.ndarray
    cells: np.ndarray
    weights: np.ndarray

    def assembled(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the entries for coefficients (n, n_cells), and which rows are finite.

        A row does not depend, in any bit, on the other rows.

        Returns
        -------
        ndarray of shape (n, n_entries), ndarray of bool, shape (n,)
        """
        entries = np.empty((len(coefficients), len(self.rows)))
        return entries, _assemble(coefficients, self.pointer, self.cells, self.weights, entries)


@njit
def _assemble(
    coefficients: np.ndarray,
    pointer: np.ndarray,
    cells: np.ndarray,
    weights: np.ndarray,
    entries: np.ndarray,
) -> np.ndarray:
    """Write the entries of each row's matrix; return whether each row is finite."""
    finite = np.ones(coefficients.shape[0], dtype=np.bool_)
    for i in range(coefficients.shape[0]):
        for s in range(entries.shape[1]):
            total = 0.0
            for t in range(pointer[s], pointer[s + 1]):
                total += weights[t] * coefficients[i, cells[t]]
            entries[i, s] = total
            if not math.isfinite(total):
                finite[i] = False
    return finite


def lower_triangle(cells: np.ndarray, order: np.ndarray, elements: np.ndarray) -> LowerTriangle:
    """Lower triangle of the sum of element matrices, for the unknowns in an order.

    Parameters
    ----------
    cells : ndarray of int, shape (n_cells, m)
        From `cell_unknowns`.
    order : ndarray of int
        The unknowns that are kept, from `narrow_order`.
    elements : ndarray of shape (n_cells, m, m)
        From `element_matrices`.

    Returns
    -------
    LowerTriangle
        Within an entry, the sum runs over the cells in their order.
    """
    position = np.full(cells.max() + 1, -1)
    position[order] = np.arange(len(order))
    local = cells.shape[1]
    rows = np.repeat(position[cells], local, axis=1).ravel()
    columns = np.tile(position[cells], (1, local)).ravel()
    owner = np.repeat(np.arange(len(cells)), local * local)
    keep = (columns >= 0) & (rows >= columns)
    rows, columns, owner = rows[keep], columns[keep], owner[keep]
    weights = elements.reshape(-1)[keep]

    by_entry = np.lexsort((owner, rows, columns))
    rows, columns = rows[by_entry], columns[by_entry]
    new = np.append(True, (np.diff(rows) != 0) | (np.diff(columns) != 0))
    first = np.flatnonzero(new)
    return LowerTriangle(
        unknowns=len(order),
        bandwidth=int(np.max(rows - columns, initial=0)),
        rows=rows[first],
        columns=columns[first],
        pointer=np.append(first, len(rows)),
        cells=owner[by_entry],
        weights=weights[by_entry],
    )
