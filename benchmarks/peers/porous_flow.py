"""Porous medium flow by Firedrake and by scikit-fem, one system after the other.

-div(kappa grad u) = 10 on the unit interval or square, u = 0 on the boundary, linear elements,
kappa constant in each cell. Each maker returns a function from a list of systems to their
observations; what does not depend on the system is built beforehand. ``field`` takes a system to
the logarithm of kappa at the mid-points of the cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.assembly import observation_matrix
from popinv.forward.fields import Field
from popinv.forward.firedrake import load_firedrake

__all__ = ["firedrake_built_once", "firedrake_naive", "scikit_fem"]

Solve = Callable[[np.ndarray], np.ndarray]

_SOURCE = 10.0


class _Script:
    """The definitions in the first lines of a Firedrake script."""

    def __init__(self, dimension: int, elements: int, sensors: np.ndarray) -> None:
        fd = self.fd = load_firedrake()
        side = (elements,) * dimension
        make = fd.UnitIntervalMesh if dimension == 1 else fd.UnitSquareMesh
        mesh = make(*side, comm=fd.COMM_SELF)
        self.space = fd.FunctionSpace(mesh, "CG", 1)
        self.kappa = fd.Function(fd.FunctionSpace(mesh, "DG", 0))
        centres = fd.Function(fd.VectorFunctionSpace(mesh, "DG", 0))
        centres.interpolate(fd.SpatialCoordinate(mesh))
        self.midpoints = centres.dat.data_ro.reshape(-1, dimension).copy()
        self.condition = fd.DirichletBC(self.space, 0, "on_boundary")
        self.source = fd.Constant(_SOURCE)
        # Cheaper than Firedrake's own evaluation at points, which would look for them every time.
        self.observe = observation_matrix(self.space, sensors)

    def forms(self) -> tuple[Any, Any]:
        fd = self.fd
        u, v = fd.TrialFunction(self.space), fd.TestFunction(self.space)
        return fd.inner(self.kappa * fd.grad(u), fd.grad(v)) * fd.dx, self.source * v * fd.dx

    def each(self, field: Field, solve: Callable[[], Any]) -> Solve:
        basis = field.basis(self.midpoints)

        def solve_all(z: np.ndarray) -> np.ndarray:
            rows = []
            for kappa in np.exp(field.evaluate(z, basis)):
                self.kappa.dat.data[:] = kappa
                rows.append(self.observe @ solve().dat.data_ro)
            return np.array(rows)

        return solve_all


def firedrake_naive(dimension: int, elements: int, sensors: np.ndarray, field: Field) -> Solve:
    """Return a loop of ``solve(a == L, u, bcs)``, as in a first script."""
    script = _Script(dimension, elements, sensors)

    def solve() -> Any:
        u = script.fd.Function(script.space)
        a, load = script.forms()
        script.fd.solve(a == load, u, bcs=script.condition)
        return u

    return script.each(field, solve)


def firedrake_built_once(dimension: int, elements: int, sensors: np.ndarray, field: Field) -> Solve:
    """Return a loop around one ``LinearVariationalSolver``, whose coefficient is assigned."""
    script = _Script(dimension, elements, sensors)
    u = script.fd.Function(script.space)
    problem = script.fd.LinearVariationalProblem(
        *script.forms(), u, bcs=script.condition, constant_jacobian=False
    )
    solver = script.fd.LinearVariationalSolver(problem)

    def solve() -> Any:
        solver.solve()
        return u

    return script.each(field, solve)


def scikit_fem(dimension: int, elements: int, sensors: np.ndarray, field: Field) -> Solve:
    """Return a loop of assembling the stiffness matrix and solving, on bases built once."""
    import skfem
    from skfem.helpers import dot, grad

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return w.kappa * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v, w):
        return _SOURCE * v

    ticks = np.linspace(0, 1, elements + 1)
    if dimension == 1:
        mesh = skfem.MeshLine(ticks)
        element, piecewise = skfem.ElementLineP1(), skfem.ElementLineP0()
    else:
        mesh = skfem.MeshTri.init_tensor(ticks, ticks)
        # Mirrored, so that the diagonals run like those of Firedrake's mesh.
        mesh = skfem.MeshTri(np.array([1 - mesh.p[0], mesh.p[1]]), mesh.t)
        element, piecewise = skfem.ElementTriP1(), skfem.ElementTriP0()
    basis = skfem.Basis(mesh, element, intorder=1)  # exact: everything is linear or constant
    cells = basis.with_element(piecewise)
    midpoints = mesh.p[:, mesh.t].mean(axis=1).T
    right = load.assemble(basis)
    interior = basis.complement_dofs(basis.get_dofs())
    observe = basis.probes(sensors.T)
    modes = field.basis(midpoints)

    def solve_all(z: np.ndarray) -> np.ndarray:
        rows = []
        for kappa in np.exp(field.evaluate(z, modes)):
            matrix = stiffness.assemble(basis, kappa=cells.interpolate(kappa))
            # The default ordering is as fast here as any of the others.
            u = skfem.solve(*skfem.condense(matrix, right, I=interior))
            rows.append(observe @ u)
        return np.array(rows)

    return solve_all
