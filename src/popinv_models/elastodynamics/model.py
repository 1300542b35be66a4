"""Damped vibration of elastic bodies, for many systems at a time.

Firedrake assembles, once, everything that does not depend on stiffness and damping (see
`popinv_models.elastodynamics.operators`). Bodies of uniform stiffness have the same modes, and are
solved in these (see `popinv_models.elastodynamics.modes`). Any other system costs two banded
factorisations and, for each time step, one solve with the factors and one sparse product.
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
from popinv_models.elastodynamics import kernels, modes, operators
from popinv_models.elastodynamics.accuracy import inaccuracies, lowest_frequency, stiffest
from popinv_models.elastodynamics.derivatives import MarchedSystem, Scheme
from popinv_models.elastodynamics.modes import (
    UniformModes,
    decompose,
    vibrate,
    vibrate_derivatives,
)
from popinv_models.elastodynamics.operators import (
    BodyDiscretisation,
    ElasticOperators,
    preassemble,
)
from popinv_models.elastodynamics.reference import newmark
from popinv_models.elastodynamics.section import Elastodynamics as Section
from popinv_models.finite_elements.banded import empty_factors, factorise, place, solve_factorised
from popinv_models.finite_elements.operator_cache import kept

_KIND = "elastodynamics"
_SMALLEST_NORMAL = 2.0**-1022
_NO_STIFFNESS = "the stiffness matrix is not positive definite: the stiffness is out of range"
_NO_STEP = "the matrix of the time step is not positive definite: z is out of range"


class ElastodynamicsModel:
    r"""Damped vibration of an elastic bar or cantilever, observed at points and times.

    The displacement u of a system with Young's modulus E and damping a solves

        u_tt + (damping) - div sigma(u) = f     in the body,
        u = 0 at x = 0,   sigma(u) n = g at x = 1,   sigma(u) n = 0 elsewhere.

    Term by term:

    - u_tt: inertia, with density 1;
    - sigma: E u' along a bar on (0, 1); in two dimensions a cantilever (0, 1) x (0, height) in
      plane strain, sigma = E / (1 + nu) (eps(u) + nu / (1 - 2 nu) div u I) with the strain
      eps(u) = (grad u + grad u^T) / 2;
    - damping: Rayleigh's, C = a M + b K in terms of the matrices of mass and stiffness; a is a
      parameter of the system, b a constant;
    - f: zero unless a ``source`` is given;
    - the excitation: ``"pluck"`` lets the body go at rest from the static shape under a force at
      its end, scaled to the deflection ``amplitude`` of the end (g = 0); ``"load"`` starts from
      rest in the undeformed state with the constant traction g = ``amplitude`` at the end. Both
      act along the bar, and across the cantilever.

    All quantities are dimensionless.

    Parameters
    ----------
    section : Elastodynamics
        The section of the configuration; see `popinv_models.elastodynamics.section` for its keys.
    seed : int
        The study's seed, from which random places of sensors are drawn.
    source : callable, optional
        f, from the UFL coordinates and time to a UFL expression. For convergence studies.

    Notes
    -----
    *Discretisation.* Linear elements on the bar; quadratic triangles on the cantilever, since
    linear ones are far too stiff in bending. The stiffness is taken at the cell midpoints, which
    limits the order to 2 where it varies. Newmark's method with average acceleration (beta = 1/4,
    gamma = 1/2) in time: second order, stable for every time step, and without damping it
    conserves the energy.

    *Accuracy.* A plucked or suddenly loaded bar carries kinks, at which the order is lower. The
    time step is the same for all systems: one so stiff that the error in the phase of its lowest
    mode would dominate the answer is a failed row, as is one whose stiffness varies too strongly
    for floating-point numbers; see `popinv_models.elastodynamics.accuracy`.

    *Reproducibility.* An observation is a function of its row of z alone, bit for bit.
    """

    def __init__(
        self, section: Section, seed: int, *, source: Callable[[Any, Any], Any] | None = None
    ) -> None:
        self.source = source
        self.dimension, self.elements = section.dimension, section.elements
        self.height, self.poisson_ratio = section.height, section.poisson_ratio
        self.excitation, self.amplitude = section.excitation, section.amplitude
        self.stiffness_damping = section.stiffness_damping
        self.parameters: tuple[Parameter, ...] = section.parameters()
        self.observations: Observations = section.observed(seed)
        self.field: Field | None = section.random_field()
        # The places are fractions of length and height.
        self.sensors = section.sensors.places(section.dimension, seed)
        self.times = section.observation_times()
        self.steps = section.steps
        self.time_step = section.duration / (section.times * section.steps)
        all_steps = self.steps * len(self.times)
        mesh = (self.dimension, self.elements, self.height, self.poisson_ratio, self.sensors)
        self.operators = kept(
            ElasticOperators,
            operators,
            (*mesh, source, self.time_step, all_steps),
            lambda: preassemble(self._discretise(), source, self.time_step, all_steps),
        )
        self.modes: UniformModes | None = None
        op = self.operators
        if self.field is None and source is None and section.has_modes():
            self.modes = kept(
                UniformModes,
                modes,
                (op.mass, op.stiffness.weights, op.columns, op.end, *op.observing()),
                lambda: decompose(op),
            )
        midpoints = op.midpoints
        self._basis = self.field.basis(midpoints) if self.field else np.empty((0, len(midpoints)))

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Solve for a batch of systems.

        Parameters
        ----------
        z : array_like of shape (n, d_z)
            One system a row, in the order of `parameters`.
        stage, first : str, int
            Not used: nothing is random here.

        Returns
        -------
        Solutions
            A system that cannot be solved (z not finite, stiffness not positive, damping
            negative, numbers out of range, or an answer that would be too inaccurate) is a NaN
            row with its reason.

        Raises
        ------
        DataError
            If z is not a table of numbers with d_z columns.
        """
        if self.modes is None:
            return self._each_row(z, self._march)
        z, reasons = checked_rows(_KIND, z, self.parameters)
        values = np.empty((len(z), len(self.sensors), len(self.times)))
        self._vibrate(self.modes, z, reasons, values)
        return finished(values.reshape(len(z), len(self.observations)), reasons)

    def jvp(self, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return observations and their derivatives along tangents.

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        tangents : ndarray of shape (k, n, d_z)

        Returns
        -------
        ndarray of shape (n, d_y), ndarray of shape (k, n, d_y)
            A row that cannot be solved is NaN.
        """
        if self.modes is not None:
            values, of_each = self._vibration_derivatives(self.modes, z)
            return values, np.einsum("nkp,tnp->tnk", of_each, tangents)
        values = self.solve(z).observations
        z, _ = checked_rows(_KIND, z, self.parameters)
        changes = np.full((len(tangents), *values.shape), np.nan)
        for i in np.flatnonzero(np.isfinite(values).all(axis=1)):
            row = z[i : i + 1]
            stiffness = self._stiffness(row)
            system = self._marched(stiffness, float(row[0, -1]))
            for k, tangent in enumerate(tangents[:, i : i + 1]):
                if self.field is None:
                    change = np.full_like(stiffness, tangent[0, 0])
                else:
                    change = stiffness * self.field.jvp(row, self._basis, tangent[None])[0, 0]
                changes[k, i] = system.tangent(change, float(tangent[0, -1]))
        return values, changes

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of the sum of cotangents (n, d_y) times the observations."""
        if self.modes is not None:
            _, of_each = self._vibration_derivatives(self.modes, z)
            return np.einsum("nkp,nk->np", of_each, cotangents)
        solvable = np.isfinite(self.solve(z).observations).all(axis=1)
        z, _ = checked_rows(_KIND, z, self.parameters)
        gradient = np.full_like(z, np.nan)
        for i in np.flatnonzero(solvable):
            row = z[i : i + 1]
            stiffness = self._stiffness(row)
            of_cells, of_damping = self._marched(stiffness, float(row[0, -1])).gradient(
                cotangents[i]
            )
            if self.field is None:
                gradient[i, 0] = of_cells.sum()
            else:
                scaled = (of_cells * stiffness)[None]
                gradient[i] = self.field.vjp(row, self._basis, scaled)[0]
            gradient[i, -1] = of_damping
        return gradient

    def _marched(self, stiffness: np.ndarray, damping: float) -> MarchedSystem:
        """Return the march of a system that can be solved, with what its derivatives need."""
        plucked, times = self.excitation == "pluck", len(self.times)
        scheme = Scheme(self.time_step, self.steps, times, plucked, self.amplitude)
        return MarchedSystem.of(self.operators, scheme, stiffness, self._step_weights(damping))

    def _step_weights(self, damping: float) -> tuple[float, float]:
        """Return the weights of M and K in the matrix of a time step."""
        dt = self.time_step
        return 1 + dt / 2 * damping, dt / 2 * self.stiffness_damping + dt**2 / 4

    def solve_with_firedrake(self, z: np.ndarray) -> Solutions:
        """Solve each system with Firedrake's own ``solve`` at each step: the slow reference.

        The same mesh, elements, stiffness per cell and time step, but Newmark's method in its
        usual form, with the accelerations as unknowns. The answers agree up to rounding.

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
        return self._each_row(z, self._newmark)

    @cached_property
    def discretisation(self) -> BodyDiscretisation:
        """The Firedrake objects of `solve_with_firedrake`, created on first use.

        `solve` needs arrays only; not keeping the mesh leaves the model small and picklable.
        """
        return self._discretise()

    def _discretise(self) -> BodyDiscretisation:
        return BodyDiscretisation(
            self.dimension, self.elements, self.height, self.poisson_ratio, self.sensors
        )

    def _each_row(
        self, z: np.ndarray, solve: Callable[[np.ndarray, float, np.ndarray], str]
    ) -> Solutions:
        z, reasons = checked_rows(_KIND, z, self.parameters)
        values = np.empty((len(z), len(self.sensors) * len(self.times)))
        for i in range(len(z)):
            if reasons[i]:
                continue
            stiffness, damping = self._stiffness(z[i : i + 1]), float(z[i, -1])
            bounds = float(stiffness.min()), float(stiffness.max())
            reasons[i] = _out_of_range(*bounds, damping, self.field is not None) or solve(
                stiffness, damping, values[i].reshape(len(self.sensors), -1)
            )
        return finished(values, reasons)

    def _stiffness(self, z: np.ndarray) -> np.ndarray:
        """Young's modulus of each cell, shape (n_cells,), for one row of z."""
        if self.field is None:
            return np.full(len(self.operators.midpoints), z[0, 0])
        # A value out of range has its own reason.
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(self.field.evaluate(z, self._basis)[0])

    def _march(self, stiffness: np.ndarray, damping: float, values: np.ndarray) -> str:
        """Write the observations of one system, or return why it cannot be solved."""
        op, lower = self.operators, self.operators.stiffness
        (entries,), _ = lower.assembled(stiffness[None])
        factors = empty_factors(lower.unknowns, lower.bandwidth)
        # K u = (load of the end): the static shape, scaled to a deflection 1 of the end.
        place(entries, lower.rows, lower.columns, factors)
        if factorise(factors):
            return _NO_STIFFNESS
        shape = op.end.copy()
        solve_factorised(factors, shape)
        shape *= op.end_size / kernels.inner_product(op.end, shape)
        dt, b, duration = self.time_step, self.stiffness_damping, float(self.times[-1])
        doubt = inaccuracies(
            np.array([lowest_frequency(op, entries, shape)]),
            np.array([stiffest(op, entries)]),
            np.array([damping]),
            b,
            dt,
            duration,
        )
        if doubt[0]:
            return doubt[0]

        weights = self._step_weights(damping)
        of_step = weights[0] * op.mass + weights[1] * entries
        place(of_step, lower.rows, lower.columns, factors)
        if factorise(factors):
            return _NO_STEP
        plucked = self.excitation == "pluck"
        kernels.march(
            op.diagonals,
            op.offsets,
            factors,
            weights,
            op.sources if plucked else op.sources + self.amplitude * op.end,
            dt,
            self.amplitude * shape if plucked else np.zeros_like(shape),
            np.zeros_like(shape),
            *op.observing(),
            self.steps,
            values,
        )
        return ""

    def _vibrate(
        self, of_one: UniformModes, z: np.ndarray, reasons: np.ndarray, values: np.ndarray
    ) -> None:
        """Fill in the observations of bodies of uniform stiffness, and the reasons of failures.

        Parameters
        ----------
        z : ndarray of shape (n, 2)
        reasons : ndarray of object, shape (n,)
        values : ndarray of shape (n, n_places, n_times)
        """
        good = self._vibrates(of_one, z, reasons)
        stiffness, damping = z[good].T.copy()
        motion = np.empty((len(stiffness), *values.shape[1:]))
        vibrate(*self._of_modes(of_one, stiffness, damping), motion)
        values[good] = self._displacements(of_one, motion, stiffness)

    def _vibration_derivatives(
        self, of_one: UniformModes, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return observations (n, d_y) and derivatives (n, d_y, 2) of bodies of uniform stiffness.

        The derivatives are those with respect to stiffness and damping. A row that cannot be solved
        is NaN.
        """
        z, reasons = checked_rows(_KIND, z, self.parameters)
        good = self._vibrates(of_one, z, reasons)
        stiffness, damping = z[good].T.copy()
        motion = np.empty((len(stiffness), len(self.sensors), len(self.times)))
        changes = np.empty((2, *motion.shape))
        vibrate_derivatives(*self._of_modes(of_one, stiffness, damping), motion, changes)
        found = self._displacements(of_one, motion, stiffness)
        if self.excitation == "pluck":
            changes *= self.amplitude * self.operators.end_size / of_one.end
        else:
            changes *= -self.amplitude / stiffness[:, None, None]
            changes[0] -= found / stiffness[:, None, None]
        values = np.full((len(z), len(self.observations)), np.nan)
        derivatives = np.full((*values.shape, 2), np.nan)
        values[good] = found.reshape(-1, values.shape[1])
        derivatives[good] = np.moveaxis(changes.reshape(2, -1, values.shape[1]), 0, 2)
        return values, derivatives

    def _vibrates(self, of_one: UniformModes, z: np.ndarray, reasons: np.ndarray) -> np.ndarray:
        """Fill in the reasons of failures, and return which rows (n,) can be solved."""
        stiffness, damping = z.T.copy()
        dt, b, duration = self.time_step, self.stiffness_damping, float(self.times[-1])
        with np.errstate(all="ignore"):
            frequency = np.sqrt(stiffness) * of_one.frequency
            overflows = ~np.isfinite(stiffness * of_one.largest)
            doubts = inaccuracies(frequency, stiffness * of_one.stiffest, damping, b, dt, duration)
            of_mass, of_stiffness = self._step_weights(damping)
            too_large = ~np.isfinite(of_mass + of_stiffness * stiffness * of_one.largest)
        for i in np.flatnonzero(reasons == ""):
            reasons[i] = _out_of_range(stiffness[i], stiffness[i], damping[i], random=False)
            reasons[i] = reasons[i] or (overflows[i] and _NO_STIFFNESS) or doubts[i]
            reasons[i] = reasons[i] or (too_large[i] and _NO_STEP) or ""
        return reasons == ""

    def _of_modes(
        self, of_one: UniformModes, stiffness: np.ndarray, damping: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, float, int]:
        """Return the arguments of the compiled loops over modes."""
        return (
            of_one.eigenvalues,
            of_one.deflections,
            stiffness,
            damping,
            self.stiffness_damping,
            self.time_step,
            self.steps,
        )

    def _displacements(
        self, of_one: UniformModes, motion: np.ndarray, stiffness: np.ndarray
    ) -> np.ndarray:
        """Return the displacements from the motion that `vibrate` computes."""
        if self.excitation == "pluck":
            return motion * (self.amplitude * self.operators.end_size / of_one.end)
        # About the static deflection, from which the body starts as far as it is undeformed.
        static = of_one.deflections.sum(axis=1)[:, None]
        return self.amplitude * (static - motion) / stiffness[:, None, None]

    def _newmark(self, stiffness: np.ndarray, damping: float, values: np.ndarray) -> str:
        """Compute the same as `_march`, with Firedrake."""
        try:
            values[:] = newmark(
                self.discretisation,
                stiffness,
                (damping, self.stiffness_damping),
                plucked=self.excitation == "pluck",
                amplitude=self.amplitude,
                source=self.source,
                time_step=self.time_step,
                times=len(self.times),
                steps=self.steps,
            )
        except RuntimeError as error:  # Firedrake's ConvergenceError among them
            return f"Firedrake: {error}"
        return ""


def _out_of_range(lowest: float, highest: float, damping: float, random: bool) -> str:
    """Return the fault of a finite row with stiffnesses between these bounds, or "".

    Reasons are counted: they do not tell the value, which stands beside them in the record.
    """
    if not random and lowest <= 0:
        return "parameter 'stiffness' is not positive"
    if damping < 0:
        return "parameter 'damping' is negative"
    if not lowest >= _SMALLEST_NORMAL:
        return "the stiffness underflows: too low"
    if not highest < math.inf:
        return "the stiffness overflows: too high"
    return ""


forward_model = ElastodynamicsModel
"""The forward model of a section and a seed."""
