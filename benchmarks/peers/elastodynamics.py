"""Newmark's method by Firedrake and by scikit-fem with SciPy, one system after the other.

Each maker returns a function from a list of systems to their observations. A system is Young's
modulus, uniform in the body, and the damping; for `scikit_fem_field` it is a random field of the
modulus, and the damping. The body is plucked: it starts at rest from the static shape under a
force at its end, scaled to a deflection 1 of the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv_models.elastodynamics.model import ElastodynamicsModel
from popinv_models.elastodynamics.reference import newmark, solve_afresh
from popinv_models.finite_elements.firedrake import load_firedrake

__all__ = ["firedrake_built_once", "firedrake_naive", "scikit_fem", "scikit_fem_field"]

Solve = Callable[[np.ndarray], np.ndarray]


def _firedrake(model: ElastodynamicsModel, prepare: Callable[..., Callable[[], Any]]) -> Solve:
    discretisation = model.discretisation
    cells = len(discretisation.midpoints)

    def solve_all(z: np.ndarray) -> np.ndarray:
        rows = [
            newmark(
                discretisation,
                np.full(cells, stiffness),
                (damping, 0.0),
                plucked=True,
                amplitude=1.0,
                source=None,
                time_step=model.time_step,
                times=len(model.times),
                steps=model.steps,
                prepare=prepare,
            ).ravel()
            for stiffness, damping in z
        ]
        return np.array(rows)

    return solve_all


def firedrake_naive(model: ElastodynamicsModel) -> Solve:
    """Return Newmark's method with ``solve(a == L, u, bcs)`` in every step."""
    return _firedrake(model, solve_afresh)


def firedrake_built_once(model: ElastodynamicsModel) -> Solve:
    """Return Newmark's method with a solver for each system, which factorises once."""
    fd = load_firedrake()

    def prepare(left: Any, right: Any, unknown: Any, condition: Any) -> Callable[[], Any]:
        problem = fd.LinearVariationalProblem(
            left, right, unknown, bcs=condition, constant_jacobian=True
        )
        return fd.LinearVariationalSolver(problem).solve

    return _firedrake(model, prepare)


def scikit_fem(model: ElastodynamicsModel) -> Solve:
    """Return Newmark's method in NumPy on scikit-fem's matrices, with SciPy's ``splu``.

    The stiffness is uniform, so that both matrices are assembled once for all systems; the matrix
    of the time step is factorised once for each.
    """
    body = _Body(model)
    stiffness = body.stiffness(np.ones(len(body.midpoints)))
    shape = body.static_shape(stiffness)

    def solve_all(z: np.ndarray) -> np.ndarray:
        return np.array([body.march(shape, modulus * stiffness, a) for modulus, a in z])

    return solve_all


def scikit_fem_field(model: ElastodynamicsModel) -> Solve:
    """Return the same for a modulus that varies in the body: each system is assembled."""
    body = _Body(model)
    field = model.field
    assert field is not None
    modes = field.basis(body.midpoints)

    def solve_all(z: np.ndarray) -> np.ndarray:
        seen = []
        for row, modulus in zip(z, np.exp(field.evaluate(z, modes)), strict=True):
            stiffness = body.stiffness(modulus)
            seen.append(body.march(body.static_shape(stiffness), stiffness, row[-1]))
        return np.array(seen)

    return solve_all


class _Body:
    """The matrices of a body by scikit-fem, of the unknowns that are not clamped."""

    def __init__(self, model: ElastodynamicsModel) -> None:
        import skfem
        from skfem.helpers import ddot, div, dot, grad, sym_grad

        self.model = model
        nu = model.poisson_ratio
        size = np.array([1.0, model.height])[: model.dimension]
        along = np.linspace(0, 1, model.elements + 1)
        if model.dimension == 1:
            mesh, element = skfem.MeshLine(along), skfem.ElementLineP1()
            piecewise = skfem.ElementLineP0()
        else:
            across = max(2, round(model.elements * model.height))
            mesh = skfem.MeshTri.init_tensor(along, np.linspace(0, model.height, across + 1))
            # Mirrored, so that the diagonals run as in Firedrake's mesh.
            mesh = skfem.MeshTri(np.array([1 - mesh.p[0], mesh.p[1]]), mesh.t)
            element = skfem.ElementVector(skfem.ElementTriP2())
            piecewise = skfem.ElementTriP0()
        self.midpoints = mesh.p[:, mesh.t].mean(axis=1).T / size
        mesh = mesh.with_boundaries({"clamped": lambda x: x[0] == 0, "end": lambda x: x[0] == 1})

        @skfem.BilinearForm
        def inertia(u, v, w):
            return u * v if model.dimension == 1 else dot(u, v)

        @skfem.BilinearForm
        def elasticity(u, v, w):
            if model.dimension == 1:
                return w.modulus * dot(grad(u), grad(v))
            strain = ddot(sym_grad(u), sym_grad(v))
            return w.modulus * (strain + nu / (1 - 2 * nu) * div(u) * div(v)) / (1 + nu)

        @skfem.LinearForm
        def traction(v, w):
            return v if model.dimension == 1 else v[1]

        self.elasticity, self.basis = elasticity, skfem.Basis(mesh, element)
        self.cells = self.basis.with_element(piecewise)
        self.free = self.basis.complement_dofs(self.basis.get_dofs("clamped"))
        observe = self.basis.probes((model.sensors * size).T).tocsr()
        if model.dimension == 2:
            # The components of the points in turn; the transverse one is observed.
            observe = observe[len(model.sensors) :]
        self.observe = observe[:, self.free]
        self.mass = self._among_free(inertia.assemble(self.basis))
        self.end = traction.assemble(self.basis.boundary("end"))[self.free]
        self.of_mass = _factors(self.mass)

    def _among_free(self, matrix: Any) -> Any:
        return matrix[self.free][:, self.free].tocsr()

    def stiffness(self, modulus: np.ndarray) -> Any:
        """Return the stiffness matrix for one modulus per cell."""
        return self._among_free(
            self.elasticity.assemble(self.basis, modulus=self.cells.interpolate(modulus))
        )

    def static_shape(self, stiffness: Any) -> np.ndarray:
        """Return the shape under a force at the end, with deflection 1 of the end."""
        static = _factors(stiffness).solve(self.end)
        size = 1.0 if self.model.dimension == 1 else self.model.height
        return static * (size / (self.end @ static))

    def march(self, shape: np.ndarray, stiffness: Any, damping: float) -> np.ndarray:
        """Return the observations of one system that starts from a shape."""
        model, mass = self.model, self.mass
        dt, every = model.time_step, model.steps
        factors = _factors((1 + dt / 2 * damping) * mass + dt**2 / 4 * stiffness)
        u, v = shape.copy(), np.zeros_like(shape)
        a = self.of_mass.solve(-(stiffness @ u))
        seen = np.empty((len(model.sensors), len(model.times)))
        for step in range(1, len(model.times) * every + 1):
            u += dt * v + dt**2 / 4 * a
            v += dt / 2 * a
            a = factors.solve(-(stiffness @ u) - damping * (mass @ v))
            u += dt**2 / 4 * a
            v += dt / 2 * a
            if step % every == 0:
                seen[:, step // every - 1] = self.observe @ u
        return seen.ravel()


def _factors(matrix: Any) -> Any:
    from scipy.sparse.linalg import splu

    return splu(
        matrix.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
