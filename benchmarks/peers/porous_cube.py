"""Porous medium flow in the unit cube by Firedrake and by scikit-fem, one system after the other.

-div(kappa grad u) = 10, u = 0 on the boundary, ``side``^3 cubes of six tetrahedra each, linear
elements, kappa constant in each tetrahedron. Each maker returns a function from a list of systems
to their observations; what does not depend on the system is built beforehand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.assembly import cell_unknowns, observation_matrix
from popinv.forward.firedrake import load_firedrake

__all__ = ["MODES", "Cube", "firedrake_built_once", "firedrake_naive", "scikit_fem"]

Solve = Callable[[np.ndarray], np.ndarray]

_SOURCE = 10.0
# Wave numbers of the cosines in the logarithm of the permeability.
_WAVES = np.array([wave for wave in itertools.product(range(2), repeat=3) if any(wave)])
MODES = len(_WAVES)


class Cube:
    """The definitions in the first lines of a Firedrake script, and places of sensors."""

    def __init__(self, sensors: np.ndarray, side: int) -> None:
        fd = self.fd = load_firedrake()
        mesh = fd.UnitCubeMesh(side, side, side, comm=fd.COMM_SELF)
        self.space = fd.FunctionSpace(mesh, "CG", 1)
        self.kappa = fd.Function(fd.FunctionSpace(mesh, "DG", 0))
        nodes = fd.Function(fd.VectorFunctionSpace(mesh, "CG", 1))
        nodes.interpolate(fd.SpatialCoordinate(mesh))
        self.nodes, self.cells = nodes.dat.data_ro.copy(), cell_unknowns(self.space)
        self.waves = np.cos(np.pi * self.nodes[self.cells].mean(axis=1)[:, None, :] * _WAVES).prod(
            axis=2
        )
        self.condition = fd.DirichletBC(self.space, 0, "on_boundary")
        self.observe = observation_matrix(self.space, sensors)

    def forms(self) -> tuple[Any, Any]:
        """Return the bilinear form, and the load."""
        fd = self.fd
        u, v = fd.TrialFunction(self.space), fd.TestFunction(self.space)
        return fd.inner(self.kappa * fd.grad(u), fd.grad(v)) * fd.dx, fd.Constant(
            _SOURCE
        ) * v * fd.dx

    def permeability(self, z: np.ndarray) -> np.ndarray:
        """Return the permeability (n_cells,) of one system."""
        return np.exp(self.waves @ z)

    def each(self, solve: Callable[[], Any]) -> Solve:
        """Return the loop over systems, with the permeability assigned."""

        def solve_all(z: np.ndarray) -> np.ndarray:
            rows = []
            for row in z:
                self.kappa.dat.data[:] = self.permeability(row)
                rows.append(self.observe @ solve().dat.data_ro)
            return np.array(rows)

        return solve_all


def firedrake_naive(sensors: np.ndarray, side: int) -> Solve:
    """Return a loop of ``solve(a == L, u, bcs)``, as in a first script."""
    cube = Cube(sensors, side)

    def solve() -> Any:
        u = cube.fd.Function(cube.space)
        a, load = cube.forms()
        cube.fd.solve(a == load, u, bcs=cube.condition)
        return u

    return cube.each(solve)


def firedrake_built_once(sensors: np.ndarray, side: int) -> Solve:
    """Return a loop around one ``LinearVariationalSolver`` with Firedrake's default solver."""
    cube = Cube(sensors, side)
    u = cube.fd.Function(cube.space)
    problem = cube.fd.LinearVariationalProblem(
        *cube.forms(), u, bcs=cube.condition, constant_jacobian=False
    )
    solver = cube.fd.LinearVariationalSolver(problem)

    def solve() -> Any:
        solver.solve()
        return u

    return cube.each(solve)


def scikit_fem(sensors: np.ndarray, side: int) -> Solve:
    """Return a loop of assembling and solving with SciPy, on Firedrake's tetrahedra."""
    import skfem
    from skfem.helpers import dot, grad

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return w.kappa * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v, w):
        return _SOURCE * v

    cube = Cube(sensors, side)
    mesh = skfem.MeshTet(cube.nodes.T.copy(), cube.cells.T.copy())
    basis = skfem.Basis(mesh, skfem.ElementTetP1(), intorder=1)
    constant = basis.with_element(skfem.ElementTetP0())
    right, interior = load.assemble(basis), basis.complement_dofs(basis.get_dofs())

    def solve_all(z: np.ndarray) -> np.ndarray:
        rows = []
        for row in z:
            kappa = constant.interpolate(cube.permeability(row))
            matrix = stiffness.assemble(basis, kappa=kappa)
            rows.append(cube.observe @ skfem.solve(*skfem.condense(matrix, right, I=interior)))
        return np.array(rows)

    return solve_all
