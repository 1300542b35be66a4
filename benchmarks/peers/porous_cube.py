"""Porous medium flow in the unit cube by Firedrake and by scikit-fem, one system after the other.

-div(kappa grad u) = 10, u = 0 on the boundary, ``side``^3 cubes of six tetrahedra each, linear
elements, kappa constant in each tetrahedron. Each maker returns a function from a list of systems
to their observations; what does not depend on the system is built beforehand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from benchmarks.peers.porous_flow import SOURCE, Script, Solve
from popinv_models.finite_elements.assembly import cell_unknowns
from popinv_models.finite_elements.firedrake import load_firedrake

__all__ = ["MODES", "Cube", "firedrake_built_once", "firedrake_naive", "scikit_fem"]

# Wave numbers of the cosines in the logarithm of the permeability.
_WAVES = np.array([wave for wave in itertools.product(range(2), repeat=3) if any(wave)])
MODES = len(_WAVES)


class Cube(Script):
    """The script of a cube, and its permeabilities."""

    def __init__(self, sensors: np.ndarray, side: int) -> None:
        fd = load_firedrake()
        super().__init__(fd.UnitCubeMesh(side, side, side, comm=fd.COMM_SELF), sensors)
        self.nodes, self.cells = self.places("CG", 1), cell_unknowns(self.space)
        middles = self.nodes[self.cells].mean(axis=1)
        self.waves = np.cos(np.pi * middles[:, None, :] * _WAVES).prod(axis=2)

    def permeabilities(self, z: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the permeability (n_cells,) of each system."""
        for row in z:
            yield np.exp(self.waves @ row)


def firedrake_naive(sensors: np.ndarray, side: int) -> Solve:
    """Return the loop of `Script.naive`."""
    cube = Cube(sensors, side)
    return cube.naive(cube.permeabilities)


def firedrake_built_once(sensors: np.ndarray, side: int) -> Solve:
    """Return the loop of `Script.built_once` with Firedrake's default solver."""
    cube = Cube(sensors, side)
    return cube.built_once(cube.permeabilities)


def scikit_fem(sensors: np.ndarray, side: int) -> Solve:
    """Return a loop of assembling and solving with SciPy, on Firedrake's tetrahedra."""
    import skfem
    from skfem.helpers import dot, grad

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return w.kappa * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v, w):
        return SOURCE * v

    cube = Cube(sensors, side)
    mesh = skfem.MeshTet(cube.nodes.T.copy(), cube.cells.T.copy())
    basis = skfem.Basis(mesh, skfem.ElementTetP1(), intorder=1)
    constant = basis.with_element(skfem.ElementTetP0())
    right, interior = load.assemble(basis), basis.complement_dofs(basis.get_dofs())

    def solve_all(z: np.ndarray) -> np.ndarray:
        rows = []
        for kappa in cube.permeabilities(z):
            matrix = stiffness.assemble(basis, kappa=constant.interpolate(kappa))
            rows.append(cube.observe @ skfem.solve(*skfem.condense(matrix, right, I=interior)))
        return np.array(rows)

    return solve_all
