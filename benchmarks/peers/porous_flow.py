"""Porous medium flow by Firedrake and by scikit-fem, one system after the other.

-div(kappa grad u) = 10 on the unit interval or square, u = 0 on the boundary, linear elements,
kappa constant in each cell. Each maker returns a function from a list of systems to their
observations; what does not depend on the system is built beforehand. ``field`` takes a system to
the logarithm of kappa at the mid-points of the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from popinv.forward.fields import Field
from popinv_models.finite_elements.assembly import observation_matrix
from popinv_models.finite_elements.firedrake import load_firedrake

__all__ = ["SOURCE", "Script", "Solve", "firedrake_built_once", "firedrake_naive", "scikit_fem"]

Solve = Callable[[np.ndarray], np.ndarray]
# From systems to the permeabilities of the cells, one system after the other.
Permeabilities = Callable[[np.ndarray], Iterable[np.ndarray]]

SOURCE = 10.0


class Script:
    """A Firedrake script of a porous body: its definitions, and two ways to solve.

    Parameters
    ----------
    mesh : firedrake mesh
        Linear elements, and a permeability in each cell.
    sensors : ndarray of shape (n_sensors, dimension)
    """

    def __init__(self, mesh: Any, sensors: np.ndarray) -> None:
        fd = self.fd = load_firedrake()
        self.mesh, self.dimension = mesh, sensors.shape[1]
        self.space = fd.FunctionSpace(mesh, "CG", 1)
        self.kappa = fd.Function(fd.FunctionSpace(mesh, "DG", 0))
        self.condition = fd.DirichletBC(self.space, 0, "on_boundary")
        self.source = fd.Constant(SOURCE)
        # Cheaper than Firedrake's own evaluation at points, which would look for them every time.
        self.observe = observation_matrix(self.space, sensors)

    def places(self, element: str, degree: int) -> np.ndarray:
        """Return where the unknowns of an element are, shape (n, dimension)."""
        fd = self.fd
        found = fd.Function(fd.VectorFunctionSpace(self.mesh, element, degree))
        found.interpolate(fd.SpatialCoordinate(self.mesh))
        return found.dat.data_ro.reshape(-1, self.dimension).copy()

    def forms(self) -> tuple[Any, Any]:
        """Return the bilinear form, and the load."""
        fd = self.fd
        u, v = fd.TrialFunction(self.space), fd.TestFunction(self.space)
        return fd.inner(self.kappa * fd.grad(u), fd.grad(v)) * fd.dx, self.source * v * fd.dx

    def naive(self, permeabilities: Permeabilities) -> Solve:
        """Return a loop of ``solve(a == L, u, bcs)``, as in a first script."""

        def solve() -> Any:
            u = self.fd.Function(self.space)
            a, load = self.forms()
            self.fd.solve(a == load, u, bcs=self.condition)
            return u

        return self._each(permeabilities, solve)

    def built_once(
        self, permeabilities: Permeabilities, iterative: dict[str, Any] | None = None
    ) -> Solve:
        """Return a loop around one ``LinearVariationalSolver``, whose coefficient is assigned.

        ``iterative`` holds the parameters of an iterative solver in place of Firedrake's default.
        """
        u = self.fd.Function(self.space)
        problem = self.fd.LinearVariationalProblem(
            *self.forms(), u, bcs=self.condition, constant_jacobian=False
        )
        solver = self.fd.LinearVariationalSolver(problem, solver_parameters=iterative)

        def solve() -> Any:
            if iterative:
                # The start of the iteration, so that a row does not depend on others.
                u.assign(0)
            solver.solve()
            return u

        return self._each(permeabilities, solve)

    def _each(self, permeabilities: Permeabilities, solve: Callable[[], Any]) -> Solve:
        def solve_all(z: np.ndarray) -> np.ndarray:
            rows = []
            for kappa in permeabilities(z):
                self.kappa.dat.data[:] = kappa
                rows.append(self.observe @ solve().dat.data_ro)
            return np.array(rows)

        return solve_all


def _script(
    dimension: int, elements: int, sensors: np.ndarray, field: Field
) -> tuple[Script, Permeabilities]:
    """Return the script of an interval or a square, and its permeabilities."""
    fd = load_firedrake()
    make = fd.UnitIntervalMesh if dimension == 1 else fd.UnitSquareMesh
    script = Script(make(*(elements,) * dimension, comm=fd.COMM_SELF), sensors)
    basis = field.basis(script.places("DG", 0))
    return script, lambda z: np.exp(field.evaluate(z, basis))


def firedrake_naive(dimension: int, elements: int, sensors: np.ndarray, field: Field) -> Solve:
    """Return the loop of `Script.naive`."""
    script, permeabilities = _script(dimension, elements, sensors, field)
    return script.naive(permeabilities)


def firedrake_built_once(dimension: int, elements: int, sensors: np.ndarray, field: Field) -> Solve:
    """Return the loop of `Script.built_once`."""
    script, permeabilities = _script(dimension, elements, sensors, field)
    return script.built_once(permeabilities)


def scikit_fem(dimension: int, elements: int, sensors: np.ndarray, field: Field) -> Solve:
    """Return a loop of assembling the stiffness matrix and solving, on bases built once."""
    import skfem
    from skfem.helpers import dot, grad

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return w.kappa * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v, w):
        return SOURCE * v

    ticks = np.linspace(0, 1, elements + 1)
    if dimension == 1:
        mesh = skfem.MeshLine(ticks)
        element, piecewise = skfem.ElementLineP1(), skfem.ElementLineP0()
    else:
        mesh = skfem.MeshTri.init_tensor(ticks, ticks)
        # Mirrored, so that the diagonals run as in Firedrake's mesh.
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
