"""Newmark's method by Firedrake and by scikit-fem with SciPy, one system after the other.

Each maker returns a function from a list of systems, (Young's modulus, damping), uniform in the
body, to their observations. The body is plucked: it starts at rest from the static shape under a
force at its end, scaled to a deflection 1 of the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.elastodynamics.model import Elastodynamics
from popinv.forward.elastodynamics.reference import newmark, solve_afresh
from popinv.forward.firedrake import load_firedrake

__all__ = ["firedrake_built_once", "firedrake_naive", "scikit_fem"]

Solve = Callable[[np.ndarray], np.ndarray]


def _firedrake(model: Elastodynamics, prepare: Callable[..., Callable[[], Any]]) -> Solve:
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


def firedrake_naive(model: Elastodynamics) -> Solve:
    """Return Newmark's method with ``solve(a == L, u, bcs)`` in every step."""
    return _firedrake(model, solve_afresh)


def firedrake_built_once(model: Elastodynamics) -> Solve:
    """Return Newmark's method with a solver for each system, which factorises once."""
    fd = load_firedrake()

    def prepare(left: Any, right: Any, unknown: Any, condition: Any) -> Callable[[], Any]:
        problem = fd.LinearVariationalProblem(
            left, right, unknown, bcs=condition, constant_jacobian=True
        )
        return fd.LinearVariationalSolver(problem).solve

    return _firedrake(model, prepare)


def scikit_fem(model: Elastodynamics) -> Solve:
    """Return Newmark's method in NumPy on scikit-fem's matrices, with SciPy's ``splu``.

    The stiffness is uniform, so that both matrices are assembled once for all systems; the matrix
    of the time step is factorised once for each.
    """
    from scipy.sparse.linalg import splu

    mass, stiffness, end, observe = _matrices(model)
    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0}
    options["options"] = {"SymmetricMode": True}
    of_mass = splu(mass.tocsc(), **options)
    static = splu(stiffness.tocsc(), **options).solve(end)
    size = 1.0 if model.dimension == 1 else model.height
    shape = static * (size / (end @ static))
    dt, every = model.time_step, model.steps

    def march(modulus: float, damping: float) -> np.ndarray:
        elastic = modulus * stiffness
        factors = splu(((1 + dt / 2 * damping) * mass + dt**2 / 4 * elastic).tocsc(), **options)
        u, v = shape.copy(), np.zeros_like(shape)
        a = of_mass.solve(-(elastic @ u))
        seen = np.empty((len(model.sensors), len(model.times)))
        for step in range(1, len(model.times) * every + 1):
            u += dt * v + dt**2 / 4 * a
            v += dt / 2 * a
            a = factors.solve(-(elastic @ u) - damping * (mass @ v))
            u += dt**2 / 4 * a
            v += dt / 2 * a
            if step % every == 0:
                seen[:, step // every - 1] = observe @ u
        return seen.ravel()

    return lambda z: np.array([march(*row) for row in z])


def _matrices(model: Elastodynamics) -> tuple[Any, Any, np.ndarray, Any]:
    """Return mass and stiffness at modulus 1, the load of the end, and the observation matrix.

    Of the unknowns that are not clamped.
    """
    import skfem
    from skfem.helpers import ddot, div, dot, grad, sym_grad

    nu = model.poisson_ratio
    along = np.linspace(0, 1, model.elements + 1)
    if model.dimension == 1:
        mesh, element = skfem.MeshLine(along), skfem.ElementLineP1()
    else:
        across = max(2, round(model.elements * model.height))
        mesh = skfem.MeshTri.init_tensor(along, np.linspace(0, model.height, across + 1))
        # Mirrored, so that the diagonals run like those of Firedrake's mesh.
        mesh = skfem.MeshTri(np.array([1 - mesh.p[0], mesh.p[1]]), mesh.t)
        element = skfem.ElementVector(skfem.ElementTriP2())
    mesh = mesh.with_boundaries({"clamped": lambda x: x[0] == 0, "end": lambda x: x[0] == 1})

    @skfem.BilinearForm
    def inertia(u, v, w):
        return u * v if model.dimension == 1 else dot(u, v)

    @skfem.BilinearForm
    def elasticity(u, v, w):
        if model.dimension == 1:
            return dot(grad(u), grad(v))
        strain = ddot(sym_grad(u), sym_grad(v))
        return (strain + nu / (1 - 2 * nu) * div(u) * div(v)) / (1 + nu)

    @skfem.LinearForm
    def traction(v, w):
        return v if model.dimension == 1 else v[1]

    basis = skfem.Basis(mesh, element)
    free = basis.complement_dofs(basis.get_dofs("clamped"))
    points = model.sensors * np.array([1.0, model.height])[: model.dimension]
    observe = basis.probes(points.T).tocsr()
    if model.dimension == 2:
        # The components of the points in turn; the transverse one is observed.
        observe = observe[len(points) :]
    return (
        inertia.assemble(basis)[free][:, free].tocsr(),
        elasticity.assemble(basis)[free][:, free].tocsr(),
        traction.assemble(basis.boundary("end"))[free],
        observe[:, free],
    )
