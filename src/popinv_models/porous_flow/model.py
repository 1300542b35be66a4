"""Steady flow through a porous medium with a random permeability, for many systems at a time.

Firedrake assembles, once, everything that does not depend on the permeability (see
`popinv_models.porous_flow.operators`). A system then costs the cells' permeabilities, a banded
matrix filled from them, one factorisation and solve, and a sparse product with the observation
matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from popinv.forward.base import Observations, Parameter, Solutions
from popinv.forward.checks import checked_rows, finished
from popinv.forward.fields import Field
from popinv_models.finite_elements.banded import empty_factors
from popinv_models.finite_elements.operator_cache import kept
from popinv_models.porous_flow import operators
from popinv_models.porous_flow.derivatives import Factorised
from popinv_models.porous_flow.design import Design, FixedSensors, Loaded
from popinv_models.porous_flow.kernels import (
    aligned_rows,
    exponentiate,
    fill,
    invert_kirchhoff,
    rounding_bounds,
    solve_banded,
    solve_tridiagonal,
    solve_wide,
)
from popinv_models.porous_flow.operators import FlowDiscretisation, PorousOperators, preassemble
from popinv_models.porous_flow.section import PorousFlow as Section

NONLINEARITIES = ("none", "quadratic", "power")

# Entries of matrices that are in memory together: small enough for the second-level cache.
_BUFFER_VALUES = 2**17
# Values of the matrices and right-hand sides of derivatives that are in memory together.
_DERIVATIVE_VALUES = 2**22

# A solve with the package's own factorisation took 0.87 of the time of LAPACK's with 127
# subdiagonals, and 1.02 with 199.
_WIDEST_BAND = 160

# A bound for the worst case; the errors themselves are typically a hundred times smaller.
LARGEST_ROUNDING_ERROR = 1e-4

MATRIX_OVERFLOWS = "the stiffness matrix overflows: log-permeability too high"


class PorousFlowModel:
    r"""Porous medium flow observed at points.

    The pressure u of a system with log-permeability a solves

        -div( exp(a(x)) kappa(u) grad u ) = f   in (0, 1)^d,      u = 0 on the boundary,

    and is observed at sensors, y_i = u(x_i). Term by term:

    - exp(a(x)): permeability of the medium; a comes from z through a field of
      `popinv.forward.fields`;
    - kappa(u): dependence on the pressure itself; 1 (``"none"``, Darcy's law), 1 + u^2
      (``"quadratic"``) or \|u\|^m (``"power"``, the porous medium equation);
    - f: source, the same for all systems, or known for each (key ``design``);
    - u = 0: the boundary is kept at the reference pressure.

    All quantities are dimensionless.

    Parameters
    ----------
    section : PorousFlow
        The section of the configuration; see `popinv_models.porous_flow.section` for its keys.
    seed : int
        The study's seed, from which random places of sensors are drawn.
    source : callable, optional
        f as a function from the UFL spatial coordinate to a UFL expression, in place of the
        section's number. For convergence studies.

    Notes
    -----
    *Discretisation.* Continuous piecewise linear elements. The permeability is taken at the cell
    midpoints (the one-point rule, which keeps the second order of the elements).

    *Nonlinearity.* Kirchhoff's transform v = K(u) = int_0^u kappa(s) ds turns the equation into
    the linear one, -div(exp(a) grad v) = f, with v = 0 on the boundary because K(0) = 0. So v is
    computed by the linear solver, observed, and u = K^{-1}(v) is taken in closed form:

        quadratic   K(u) = u + u^3 / 3          u = 2 sinh(asinh(3 v / 2) / 3)
        power       K(u) = u \|u\|^m / (m + 1)    u = sign(v) ((m + 1) \|v\|)^(1 / (m + 1))

    For the power, u^m itself is a diffusivity only where u >= 0, which holds if f >= 0 (maximum
    principle); elsewhere kappa is continued as \|u\|^m, which makes K odd and invertible.

    *Reproducibility.* An observation is a function of its row of z alone, bit for bit: rows are
    computed one by one with a fixed order of summation, whatever else is in the batch.
    """

    def __init__(
        self, section: Section, seed: int, *, source: Callable[[Any], Any] | None = None
    ) -> None:
        self.dimension, self.elements = section.dimension, section.elements
        self.source = section.source if source is None else source
        self.nonlinearity, self.exponent = section.nonlinearity, section.exponent
        self.observations: Observations = section.observed(seed)
        self.sensors = section.sensors.places(section.dimension, seed)
        self.parameters: tuple[Parameter, ...] = section.inputs()
        self.field: Field = section.random_field()
        self.design = Design.of(section, self.sensors)
        if self.design is not None:
            # The operators belong to a uniform load of 1, which bounds the shape of any other.
            if source is not None:
                raise ValueError("a source that is a function goes with no design")
            self.source = 1.0
        self.operators = kept(
            PorousOperators,
            operators,
            (self.dimension, self.elements, self.source, self.sensors),
            lambda: preassemble(self._discretise()),
        )
        self._fixed = FixedSensors(self.operators)
        if self.design is not None:
            self._of_design = self.design.operators(self.operators, self._discretise)
        self._basis = self.field.basis(self.operators.midpoints)

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Solve for a batch of systems.

        Parameters
        ----------
        z : array_like of shape (n, d_z)
            One system a row, in the order of `parameters`, the design last.
        stage, first : str, int
            Not used: nothing is random here.

        Returns
        -------
        Solutions
            A system that cannot be solved (z not finite, permeability out of the range of
            floating-point numbers or too uneven to solve accurately, matrix not positive
            definite, solution not finite, load too narrow, sensor outside the domain) is a NaN
            row with its reason.

        Raises
        ------
        DataError
            If z is not a table of numbers with d_z columns.
        """
        z, reasons = checked_rows("porous_flow", z, self.parameters)
        values = np.empty((len(z), len(self.sensors)))
        rows = max(1, _BUFFER_VALUES // len(self.operators.slots))
        for start in range(0, len(z), rows):
            part = slice(start, start + rows)
            self._solve_part(z[part], values[part], reasons[part])
        invert_kirchhoff(values, self.kirchhoff, self.exponent)
        return finished(values, reasons)

    def jvp(self, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return observations and their derivatives along tangents.

        The design is known, so derivatives are those in the parameters of the field: entries of
        the tangents beyond these do not count.

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        tangents : ndarray of shape (k, n, d_z)

        Returns
        -------
        ndarray of shape (n, d_y), ndarray of shape (k, n, d_y)
            A row that cannot be solved is NaN.
        """
        z, reasons = checked_rows("porous_flow", z, self.parameters)
        shape = len(z), len(self.sensors)
        values, changes = np.empty(shape), np.empty((len(tangents), *shape))
        for part in self._parts(len(z), len(tangents)):
            solved = self._factorised(z[part], reasons[part])
            values[part] = observed = self._observed(solved)
            along = changes[:, part]
            solved.changes(self.field.jvp(z[part], self._basis, tangents[:, part]), along)
            solved.loaded.scale(along)
            along *= self._slope(observed)
        failed = reasons != ""
        values[failed], changes[:, failed] = np.nan, np.nan
        return values, changes

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of the sum of cotangents (n, d_y) times the observations.

        It is zero in the entries of the design.
        """
        z, reasons = checked_rows("porous_flow", z, self.parameters)
        gradient = np.empty_like(z)
        for part in self._parts(len(z), 1):
            solved = self._factorised(z[part], reasons[part])
            weights = cotangents[part] * self._slope(self._observed(solved))
            solved.loaded.scale(weights)
            of_kappa = solved.gradient(weights)
            # Failed rows may hold infinities.
            with np.errstate(invalid="ignore"):
                of_log = -solved.kappa * of_kappa
                gradient[part] = self.field.vjp(z[part], self._basis, of_log)
        gradient[reasons != ""] = np.nan
        return gradient

    def _parts(self, count: int, sides: int) -> list[slice]:
        """Return the rows whose matrices, with so many right-hand sides, are in memory together."""
        op = self.operators
        each = op.buffer_length + 2 * (sides + 1) * op.stiffness.unknowns
        rows = max(1, _DERIVATIVE_VALUES // each)
        return [slice(start, start + rows) for start in range(0, count, rows)]

    def _factorised(self, z: np.ndarray, reasons: np.ndarray) -> Factorised:
        """Return the solved systems of a few rows; fill in the reasons of failures."""
        kappa, loaded = self._permeability(z, reasons), self._loaded(z, reasons)
        entries, finite = self.operators.stiffness.assembled(kappa)
        for i in np.flatnonzero(~finite):
            reasons[i] = reasons[i] or MATRIX_OVERFLOWS
        return Factorised(self.operators, kappa, entries, loaded, reasons)

    def _observed(self, solved: Factorised) -> np.ndarray:
        """Return the observations (n, d_y) of solved systems."""
        observed = np.empty((len(solved.kappa), len(self.sensors)))
        solved.loaded.sensors.observe(solved.solutions, observed)
        solved.loaded.scale(observed)
        invert_kirchhoff(observed, self.kirchhoff, self.exponent)
        return observed

    def _slope(self, u: np.ndarray) -> np.ndarray | float:
        """Return dy / dv = 1 / kappa(u) at the observed u."""
        if self.nonlinearity == "none":
            return 1.0
        if self.nonlinearity == "quadratic":
            return 1 / (1 + u**2)
        with np.errstate(divide="ignore"):
            return np.abs(u) ** -self.exponent

    def _solve_part(self, z: np.ndarray, values: np.ndarray, reasons: np.ndarray) -> None:
        """Fill in the observations of v, and the reasons, of a few systems."""
        op, lower = self.operators, self.operators.stiffness
        entries, finite = lower.assembled(self._permeability(z, reasons))
        loaded, vectors = self._loaded(z, reasons), np.empty((len(z), lower.unknowns))
        vectors[:] = loaded.loads
        narrow = self.dimension == 2 and lower.bandwidth <= _WIDEST_BAND
        # Of a wide band, one matrix at a time is in memory.
        matrix = aligned_rows(1, op.buffer_length)
        factors = empty_factors(lower.unknowns if narrow else 0, lower.bandwidth)
        for i in range(len(z)):
            if reasons[i]:
                continue
            if not finite[i]:
                reasons[i] = MATRIX_OVERFLOWS
                continue
            if narrow:
                info = solve_banded(entries[i], lower.rows, lower.columns, factors, vectors[i])
            else:
                fill(entries[i : i + 1], op.slots, matrix)
                if self.dimension == 1:
                    info = solve_tridiagonal(matrix[0], vectors[i], lower.unknowns)
                else:
                    info = solve_wide(matrix[0], vectors[i], lower.bandwidth)
            if info != 0:
                reasons[i] = (
                    f"the stiffness matrix is not positive definite (pivot {info} of "
                    f"{lower.unknowns}): the permeability varies too strongly"
                )
        bounds = rounding_bounds(entries, lower.rows, lower.columns, vectors, op.largest_load)
        for row in np.flatnonzero(bounds > LARGEST_ROUNDING_ERROR):
            reasons[row] = reasons[row] or too_uneven(bounds[row])
        loaded.sensors.observe(vectors, values)
        loaded.scale(values)

    def _loaded(self, z: np.ndarray, reasons: np.ndarray) -> Loaded:
        """Return loads and observations of systems z; fill in the reasons of faulty ones."""
        if self.design is None:
            return Loaded(self.operators.load, self._fixed)
        return self.design.loaded(z, self._of_design, self._fixed, reasons)

    def solve_with_firedrake(self, z: np.ndarray) -> Solutions:
        """Solve each system with Firedrake's own ``solve``: the slow reference for `solve`.

        The same mesh, elements and permeability per cell. In the linear case the answers agree
        up to rounding. In the nonlinear ones Newton's method solves for u directly, so that u
        instead of v = K(u) is piecewise linear: the answers differ by the discretisation error.

        Parameters
        ----------
        z : array_like of shape (n, d_z)

        Returns
        -------
        Solutions

        Raises
        ------
        DataError
            If z is not a table of numbers with d_z columns.
        """
        z, reasons = checked_rows("porous_flow", z, self.parameters)
        values = np.empty((len(z), len(self.sensors)))
        permeability, systems = self._permeability(z, reasons), None
        if self.design is not None:
            systems = self.design.systems(z, self.discretisation.places())
            reasons = np.where(reasons == "", systems.reasons, reasons)
        for i, kappa in enumerate(permeability):
            if reasons[i]:
                continue
            if systems is not None:
                load = systems.strength[i] * systems.shape[i]
                self.discretisation.prescribe(load, systems.sensors[i])
            try:
                if self.nonlinearity == "none":
                    values[i] = self.discretisation.solve_linear(kappa)
                else:
                    values[i] = self.discretisation.solve_newton(
                        kappa, self._diffusivity, self._diffusivity_degree
                    )
            except RuntimeError as error:  # Firedrake's ConvergenceError among them
                reasons[i] = f"Firedrake: {error}"
        return finished(values, reasons)

    @cached_property
    def discretisation(self) -> FlowDiscretisation:
        """The Firedrake objects of `solve_with_firedrake`, created on first use.

        `solve` needs arrays only; not keeping the mesh leaves the model small and picklable.
        """
        return self._discretise()

    def _discretise(self) -> FlowDiscretisation:
        return FlowDiscretisation(self.dimension, self.elements, self.source, self.sensors)

    def _diffusivity(self, u: Any) -> Any:
        return 1 + u**2 if self.nonlinearity == "quadratic" else abs(u) ** self.exponent

    @property
    def kirchhoff(self) -> int:
        """The number by which the compiled code knows the nonlinearity."""
        return NONLINEARITIES.index(self.nonlinearity)

    @property
    def _diffusivity_degree(self) -> int:
        return 2 if self.nonlinearity == "quadratic" else math.ceil(self.exponent) + 1

    def _permeability(self, z: np.ndarray, reasons: np.ndarray) -> np.ndarray:
        """Permeability of each cell, (n, n_cells); fills in the reasons of rows out of range."""
        kappa = self.field.evaluate(z, self._basis)
        lowest, highest = exponentiate(kappa)
        for i in np.flatnonzero(~((lowest > 0) & (highest < np.inf))):
            reasons[i] = reasons[i] or out_of_range(lowest[i], highest[i])
        return kappa


def out_of_range(lowest: float, highest: float) -> str:
    """Return why a permeability between these bounds is out of range, or nothing."""
    if lowest > 0 and highest < np.inf:
        return ""
    if lowest == 0:
        return "the permeability underflows to zero: log-permeability too low"
    return "the permeability overflows: log-permeability too high"


def too_uneven(bound: float) -> str:
    """Return the reason why a system with such a bound on its rounding errors fails."""
    return (
        "the permeability varies too strongly: rounding errors may reach "
        f"{bound:.0e} of the solution"
    )


forward_model = PorousFlowModel
"""The forward model of a section and a seed."""
