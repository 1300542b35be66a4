"""Porous flow with each system solved by several processes together.

For meshes whose solve outgrows one process. The mesh is spread over the processes of an MPI
communicator, Firedrake assembles the matrix of a system there, and PETSc solves it by conjugate
gradients with algebraic multigrid. Everything else (field, elements, midpoint rule, Kirchhoff's
transform, what counts as failed) follows `popinv_models.porous_flow.model`, whose answers it
gives up to the tolerance of the iteration.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popinv.errors import ConfigError
from popinv.forward.base import Observations, Parameter, Solutions
from popinv.forward.checks import checked_rows, finished
from popinv.forward.fields import Field
from popinv_models.finite_elements.firedrake import load_firedrake
from popinv_models.porous_flow.design import Design, Systems
from popinv_models.porous_flow.kernels import exponentiate, invert_kirchhoff
from popinv_models.porous_flow.model import (
    LARGEST_ROUNDING_ERROR,
    MATRIX_OVERFLOWS,
    NONLINEARITIES,
    out_of_range,
    too_uneven,
)
from popinv_models.porous_flow.operators import FlowDiscretisation
from popinv_models.porous_flow.section import PorousFlow as Section

# Relative to the load, in the norm of the preconditioned residual.
_TOLERANCE = 1e-13
_MOST_ITERATIONS = 500


class DistributedPorousFlow:
    """Porous medium flow, each system solved by all processes of a communicator.

    Parameters
    ----------
    section : PorousFlow
        The section of the configuration.
    seed : int
        The study's seed, from which random places of sensors are drawn.
    comm : mpi4py communicator
        The processes. Every method is to be called by all of them with the same arguments.

    Raises
    ------
    ConfigError
        If there are more processes than rows of cells to share out.

    Notes
    -----
    *Reproducibility.* With the same number of processes an observation is a function of its row
    of z alone, bit for bit: nothing of one solve is kept for the next. With another number the
    answers agree up to the tolerance of the iteration.
    """

    def __init__(self, section: Section, seed: int, comm: Any) -> None:
        if comm.size > section.elements:
            raise ConfigError(
                f"porous_flow: {comm.size} processes cannot share a mesh with "
                f"{section.elements} elements a side."
            )
        self.comm = comm
        self.field: Field = section.random_field()
        self.observations: Observations = section.observed(seed)
        self.nonlinearity = NONLINEARITIES.index(section.nonlinearity)
        self.exponent = section.exponent
        self.parameters: tuple[Parameter, ...] = section.inputs()
        sensors = section.sensors.places(section.dimension, seed)
        self.design = Design.of(section, sensors)
        self.discretisation = FlowDiscretisation(
            section.dimension,
            section.elements,
            # The strengths of a design are taken into account after the solves.
            section.source if self.design is None else 1.0,
            sensors,
            comm,
        )
        fd = load_firedrake()
        mesh = self.discretisation
        self._basis, self._nodes = self.field.basis(mesh.midpoints), mesh.places()
        self._load = fd.assemble(mesh.load_form())
        mesh.condition.zero(self._load)
        # The load is never larger than this one.
        self._largest_load = self._load.copy(deepcopy=True)
        self._solution = fd.Function(mesh.space)
        self._matrix: Any = None

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Solve for a batch of systems, one after the other.

        Parameters
        ----------
        z : array_like of shape (n, d_z)
            One system a row, in the order of `parameters`, the design last; the same on every
            process.
        stage, first : str, int
            Not used: nothing is random here.

        Returns
        -------
        Solutions
            The same on every process.

        Raises
        ------
        DataError
            If z is not a table of numbers with d_z columns.
        """
        z, reasons = checked_rows("porous_flow", z, self.parameters)
        values = np.empty((len(z), len(self.observations)))
        for i in range(len(z)):
            row, strength = z[i : i + 1], 1.0
            if self.design is not None and not reasons[i]:
                systems = self.design.systems(row, self._nodes)
                reasons[i], strength = systems.reasons[0], float(systems.strength[0])
                self._prescribe(systems)
            reasons[i] = reasons[i] or self._solve_one(row)
            if not reasons[i]:
                values[i] = strength * self.discretisation.observe(self._solution)
        invert_kirchhoff(values, self.nonlinearity, self.exponent)
        return finished(values, reasons)

    def _prescribe(self, systems: Systems) -> None:
        """Set load and sensors of a system that can be solved."""
        if systems.reasons[0]:
            return
        mesh = self.discretisation
        mesh.prescribe(systems.shape[0], systems.sensors[0])
        load_firedrake().assemble(mesh.load_form(), tensor=self._load)
        mesh.condition.zero(self._load)

    def _solve_one(self, z: np.ndarray) -> str:
        """Solve for one row of z; return the reason for a failure, or nothing."""
        fd = load_firedrake()
        from mpi4py import MPI

        mesh = self.discretisation
        kappa = self.field.evaluate(z, self._basis)
        lowest, highest = (float(bound[0]) for bound in exponentiate(kappa))
        lowest = self.comm.allreduce(lowest, MPI.MIN)
        highest = self.comm.allreduce(highest, MPI.MAX)
        if reason := out_of_range(lowest, highest):
            return reason
        mesh.permeability.dat.data[:] = kappa[0]
        # The matrix keeps its place and pattern.
        self._matrix = fd.assemble(mesh.stiffness_form(), bcs=mesh.condition, tensor=self._matrix)
        matrix = self._matrix.petscmat
        if not np.isfinite(matrix.norm()):
            return MATRIX_OVERFLOWS
        with self._load.dat.vec_ro as load, self._solution.dat.vec_wo as solution:
            if reason := self._iterate(matrix, load, solution):
                return reason
            with self._largest_load.dat.vec_ro as largest:
                bound = self._rounding_bound(matrix, load, largest, solution)
        return too_uneven(bound) if bound > LARGEST_ROUNDING_ERROR else ""

    def _iterate(self, matrix: Any, load: Any, solution: Any) -> str:
        from petsc4py import PETSc

        # Each system has a new solver, as the smoothers' estimates of eigenvalues would otherwise
        # depend, in the last digits, on the systems solved before.
        solver = PETSc.KSP().create(self.comm)
        try:
            solver.setOperators(matrix)
            solver.setType("cg")
            solver.getPC().setType("gamg")
            solver.setTolerances(rtol=_TOLERANCE, atol=0.0, max_it=_MOST_ITERATIONS)
            solver.solve(load, solution)
            if solver.is_converged:
                return ""
            return (
                f"the iteration ended after {solver.getIterationNumber()} steps without "
                "converging: the permeability varies too strongly"
            )
        finally:
            solver.destroy()

    def _rounding_bound(self, matrix: Any, load: Any, largest: Any, solution: Any) -> float:
        """Bound of `popinv_models.porous_flow.kernels.rounding_bounds`, for all processes.

        The matrix has no positive entry beside its diagonal D, and the solution has one sign:
        abs(A) abs(u) = 2 D abs(u) - abs(A u), and A u is the load.
        """
        diagonal = matrix.getDiagonal()
        loads, values = np.abs(load.array_r), np.abs(solution.array_r)
        bounds = np.abs(largest.array_r)
        rows = bounds > 0  # not on the boundary, and not without a source
        total = 2 * diagonal.array_r[rows] * values[rows] - loads[rows]
        here = np.max(np.abs(total) / bounds[rows], initial=0.0) * np.finfo(float).eps
        diagonal.destroy()
        from mpi4py import MPI

        return float(self.comm.allreduce(float(here), MPI.MAX))
