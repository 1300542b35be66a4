"""Damped vibration of elastic bodies, for many systems at a time.

Firedrake assembles, once, everything that does not depend on stiffness and damping (see
`popinv.forward.elastodynamics.operators`). A system then costs two banded factorisations and, for
each time step, one solve with the factors and two sparse products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from popinv.forward.base import Observations, Parameter, Solutions
from popinv.forward.checks import check, check_choice, checked_places, checked_rows, finished
from popinv.forward.elastodynamics import derivatives, kernels, operators
from popinv.forward.elastodynamics.accuracy import inaccuracy
from popinv.forward.elastodynamics.description import (
    displacement,
    observation_times,
    stiffness_and_damping,
    stiffness_field,
)
from popinv.forward.elastodynamics.operators import (
    Discretisation,
    ElasticOperators,
    preassemble,
)
from popinv.forward.elastodynamics.reference import newmark
from popinv.forward.operator_cache import kept
from popinv.forward.sensors import sensors as places_of

__all__ = ["Elastodynamics", "forward_model"]

_KIND = "elastodynamics"
_FIELDS = ("none", "cosine")
_EXCITATIONS = ("pluck", "load")
_DEFAULT_ELEMENTS = {1: 100, 2: 20}
_DEFAULT_MODES = {1: 8, 2: 4}
_DEFAULT_STEPS = {1: 40, 2: 20}
_DEFAULT_DURATION = {1: 8.0, 2: 60.0}

_SMALLEST_NORMAL = 2.0**-1022


class Elastodynamics:
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
    - f: zero, but for a ``source``;
    - the excitation: ``"pluck"`` lets the body go at rest from the static shape under a force at
      its end, scaled to the deflection ``amplitude`` of the end (g = 0); ``"load"`` starts from
      rest in the undeformed state with the constant traction g = ``amplitude`` at the end. Both
      act along the bar, and across the cantilever.

    All quantities are dimensionless.

    Parameters
    ----------
    sensors : array_like of shape (n_places, dimension), or (n_places,) in one dimension
        Points of observation in fractions of length and height, strictly between 0 and 1. The
        displacement is observed, in two dimensions its transverse component.
    dimension : {1, 2}, default 1
        A bar, or a cantilever.
    elements : int, optional
        Cells along the length, at least 3 (default 100 and 20 in one and two dimensions).
    height : float, default 0.2
        Of the cantilever, at most 1.
    poisson_ratio : float, default 0.3
        nu of the cantilever, in [0, 1/2).
    field : {"none", "cosine"}, default "none"
        z = (E, a), or z = (parameters of a field, a) with log E the field over the fractions of
        length and height.
    modes : int, optional
        Wavenumbers per direction of the field (default 8 and 4 in one and two dimensions).
    excitation : {"pluck", "load"}, default "pluck"
    amplitude : float, default 1
        Deflection of the end, or traction there.
    stiffness_damping : float, default 0
        b, not negative.
    duration : float, optional
        Time of the last observation (default 8 and 60 in one and two dimensions).
    times : int, default 20
        Number of observation times, ``duration / times`` apart.
    steps : int, optional
        Time steps from one observation time to the next (default 40 and 20 in one and two
        dimensions).
    source : callable, optional
        f, from the UFL coordinates and time to a UFL expression. For convergence studies.

    Raises
    ------
    ConfigError
        If an argument has a value that is not allowed, or a sensor is not inside the body.

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
    for floating-point numbers; see `popinv.forward.elastodynamics.accuracy`.

    *Reproducibility.* An observation is a function of its row of z alone, bit for bit.
    """

    def __init__(
        self,
        sensors: np.ndarray,
        *,
        dimension: int = 1,
        elements: int | None = None,
        height: float = 0.2,
        poisson_ratio: float = 0.3,
        field: str = "none",
        modes: int | None = None,
        excitation: str = "pluck",
        amplitude: float = 1.0,
        stiffness_damping: float = 0.0,
        duration: float | None = None,
        times: int = 20,
        steps: int | None = None,
        source: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        _check("dimension", dimension, "1 or 2", dimension in (1, 2))
        self.dimension = int(dimension)
        elements = _DEFAULT_ELEMENTS[dimension] if elements is None else elements
        duration = _DEFAULT_DURATION[dimension] if duration is None else duration
        steps = _DEFAULT_STEPS[dimension] if steps is None else steps
        modes = _DEFAULT_MODES[dimension] if modes is None else modes
        for key, count, least in (
            ("elements", elements, 3),
            ("times", times, 1),
            ("steps", steps, 1),
        ):
            whole = math.isfinite(count) and count == int(count) and count >= least
            _check(key, count, f"a whole number >= {least}", whole)
        check_choice(_KIND, "field", field, _FIELDS)
        check_choice(_KIND, "excitation", excitation, _EXCITATIONS)
        _check("height", height, "in (0, 1]", 0 < height <= 1)
        _check("poisson_ratio", poisson_ratio, "in [0, 0.5)", 0 <= poisson_ratio < 0.5)
        _check("amplitude", amplitude, "finite", math.isfinite(amplitude))
        _check(
            "stiffness_damping",
            stiffness_damping,
            "finite and not negative",
            0 <= stiffness_damping < math.inf,
        )
        _check("duration", duration, "finite and positive", 0 < duration < math.inf)
        self.elements, self.steps = int(elements), int(steps)
        self.height, self.poisson_ratio = float(height), float(poisson_ratio)
        self.excitation, self.amplitude = excitation, float(amplitude)
        self.stiffness_damping = float(stiffness_damping)
        self.source = source
        self.sensors = checked_places(_KIND, sensors, self.dimension)
        self.times = observation_times(float(duration), int(times))
        self.time_step = float(duration) / (int(times) * self.steps)
        self.field = None if field == "none" else stiffness_field(self.dimension, modes)
        all_steps = self.steps * len(self.times)
        mesh = (self.dimension, self.elements, self.height, self.poisson_ratio, self.sensors)
        self.operators = kept(
            ElasticOperators,
            operators,
            (*mesh, source, self.time_step, all_steps),
            lambda: preassemble(self._discretise(), source, self.time_step, all_steps),
        )
        midpoints = self.operators.midpoints
        self._basis = self.field.basis(midpoints) if self.field else np.empty((0, len(midpoints)))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The entries of z, in order: stiffness, or those of its field, and damping."""
        return stiffness_and_damping(self.field)

    @cached_property
    def observations(self) -> Observations:
        """The displacement at the sensors in turn, each at all times."""
        return displacement(self.sensors, self.height, self.times)

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
        return self._each_row(z, self._march)

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
        return derivatives.jvp(self, z, tangents)

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of the sum of cotangents (n, d_y) times the observations."""
        return derivatives.vjp(self, z, cotangents)

    def step_weights(self, damping: float) -> tuple[float, float]:
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
    def discretisation(self) -> Discretisation:
        """The Firedrake objects behind `solve_with_firedrake`, made on first use.

        `solve` needs arrays only; not keeping the mesh leaves the model small and picklable.
        """
        return self._discretise()

    def _discretise(self) -> Discretisation:
        return Discretisation(
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
            reasons[i] = _out_of_range(stiffness, damping, self.field is not None) or solve(
                stiffness, damping, values[i].reshape(len(self.sensors), -1)
            )
        return finished(values, reasons)

    def _stiffness(self, z: np.ndarray) -> np.ndarray:
        """Young's modulus of each cell, shape (n_cells,), for one row of z."""
        if self.field is None:
            return np.full(len(self.operators.midpoints), z[0, 0])
        # Out of range is said by its own reason.
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(self.field.evaluate(z, self._basis)[0])

    def _march(self, stiffness: np.ndarray, damping: float, values: np.ndarray) -> str:
        """Write the observations of one system, or return why it cannot be solved."""
        op, lower = self.operators, self.operators.stiffness
        entries = kernels.assemble(stiffness, lower.pointer, lower.cells, lower.weights)
        factors = kernels.empty_factors(lower.unknowns, lower.bandwidth)
        # K u = (load of the end): the static shape, scaled to a deflection 1 of the end.
        if kernels.factorise(entries, lower.rows, lower.columns, *factors):
            return "the stiffness matrix is not positive definite: the stiffness is out of range"
        shape = op.end.copy()
        kernels.solve_factorised(*factors, shape)
        shape *= op.end_size / kernels.inner_product(op.end, shape)
        dt, b, duration = self.time_step, self.stiffness_damping, float(self.times[-1])
        if doubt := inaccuracy(op, entries, shape, (damping, b), dt, duration):
            return doubt

        of_mass, of_stiffness = self.step_weights(damping)
        of_step = of_mass * op.mass + of_stiffness * entries
        if kernels.factorise(of_step, lower.rows, lower.columns, *factors):
            return "the matrix of the time step is not positive definite: z is out of range"
        plucked = self.excitation == "pluck"
        kernels.march(
            op.mass[op.entries],
            entries[op.entries],
            op.pointer,
            op.columns,
            *factors,
            op.sources if plucked else op.sources + self.amplitude * op.end,
            dt,
            self.amplitude * shape if plucked else np.zeros_like(shape),
            np.zeros_like(shape),
            op.observation_pointer,
            op.observation_columns,
            op.observation_weights,
            self.steps,
            values,
        )
        return ""

    def _newmark(self, stiffness: np.ndarray, damping: float, values: np.ndarray) -> str:
        """Do what `_march` does, with Firedrake."""
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


def forward_model(forward: Mapping[str, Any], seed: int) -> Elastodynamics:
    """Return the forward model of a ``forward`` section."""
    return Elastodynamics(
        places_of(forward, seed),
        **{key: forward[key] for key in forward if key not in ("kind", "sensors")},
    )


def _check(key: str, value: Any, allowed: str, holds: bool) -> None:
    check(_KIND, key, value, allowed, holds)


def _out_of_range(stiffness: np.ndarray, damping: float, random: bool) -> str:
    """Return what is wrong with the values of a row that is finite, or "".

    Reasons are counted: they do not tell the value, which stands beside them in the record.
    """
    lowest, highest = float(stiffness.min()), float(stiffness.max())
    if not random and lowest <= 0:
        return "parameter 'stiffness' is not positive"
    if damping < 0:
        return "parameter 'damping' is negative"
    if not lowest >= _SMALLEST_NORMAL:
        return "the stiffness underflows: too low"
    if not highest < math.inf:
        return "the stiffness overflows: too high"
    return ""
