"""Lorenz-96 observed through averages over time, for many systems at a time."""

from __future__ import annotations

import numpy as np

from popinv.forward.base import Observations, Parameter, Solutions
from popinv.forward.checks import checked_rows, finished
from popinv.seeds import generator
from popinv_models.lorenz96.integrator import Coefficients, blocks, rows
from popinv_models.lorenz96.kernels import FIELDS, MEMBERS, window_averages
from popinv_models.lorenz96.section import OBSERVABLES
from popinv_models.lorenz96.section import Lorenz96 as Section

# Mean and standard deviation of the initial slow variables, near the values of the attractor at
# F = 8, and standard deviation of the fast ones. The spin-up removes their influence.
_SLOW_MEAN, _SLOW_DEVIATION, _FAST_DEVIATION = 2.0, 3.5, 0.1


class Lorenz96Model:
    r"""Lorenz-96 with one scale or two, observed through averages.

    One scale, z = (F):

        X_k' = X_{k-1} (X_{k+1} - X_{k-2}) - X_k + F

    Two scales, z = (F, h, c, b):

        X_k'  = X_{k-1} (X_{k+1} - X_{k-2}) - X_k + F - h c mean_j(Y_jk)
        Y_jk' = -c b Y_{j+1,k} (Y_{j+2,k} - Y_{j-1,k}) - c Y_jk + (h c / J) X_k

    An observation is the mean of a product such as X_k X_{k+1} over the places k and over a
    window of time; all places are alike, so that the mean over them only lessens the sampling
    error. The initial state of row i is drawn from (seed, stage + "/initial_state", first + i),
    and a finite window never quite forgets it: two solves at the same z with other stages
    differ by the sampling error of the averages.

    Time is in the units of the equations: the damping time of X is 1, which Lorenz reads as
    5 days. All quantities are dimensionless.

    Parameters
    ----------
    section : Lorenz96
        The section of the configuration; see `popinv_models.lorenz96.section` for its keys.
    seed : int
        The study's seed.

    Notes
    -----
    The classical Runge-Kutta method of order 4 with a fixed step; see
    `popinv_models.lorenz96.kernels`. A trajectory that leaves the range of floating-point
    numbers makes its row fail.

    References
    ----------
    E. N. Lorenz (1996), Predictability: a problem partly solved. E. N. Lorenz and K. A. Emanuel
    (1998), Optimal sites for supplementary weather observations, J. Atmos. Sci. 55, 399-414.
    """

    def __init__(self, section: Section, seed: int) -> None:
        self.parameters: tuple[Parameter, ...] = section.parameters()
        self.observations: Observations = section.observed(seed)
        self.seed = seed
        self.variables = section.variables
        self.subvariables = section.subvariables if section.scales == 2 else 0
        self.time_step = section.time_step
        self.window, self.windows = section.window, section.windows
        self.sample_every = section.sample_every
        self.spin_up_steps = round(section.spin_up / self.time_step)
        self.samples = round(self.window / (self.sample_every * self.time_step))
        chosen = [OBSERVABLES[name] for name in section.observables]
        self.products = np.array(
            [(FIELDS.index(p.first), FIELDS.index(p.second), p.lag) for p in chosen]
        )

    def initial_states(
        self, indices: np.ndarray, stage: str = "solve"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the initial states of the systems with these global indices.

        Returns
        -------
        (ndarray of shape (n, K), ndarray of shape (n, K, J))
            Independent normal numbers; J = 0 for one scale.
        """
        slow = np.empty((len(indices), self.variables))
        fast = np.empty((*slow.shape, self.subvariables))
        for i, index in enumerate(indices):
            rng = generator(self.seed, f"{stage}/initial_state", int(index))
            slow[i] = _SLOW_MEAN + _SLOW_DEVIATION * rng.standard_normal(self.variables)
            fast[i] = _FAST_DEVIATION * rng.standard_normal(fast.shape[1:])
        return slow, fast

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Integrate each system and average over the windows.

        Parameters
        ----------
        z : array_like of float, shape (n, d_z)
            (F), or (F, h, c, b).
        stage : str, default "solve"
            Names the initial states, with the seed and the row's global index.
        first : int, default 0
            Global index of the first row.

        Returns
        -------
        Solutions
            Averages (n, n_quantities * windows), window fastest. A row fails if it is not
            finite, has a time scale that is not positive, or leaves the range of numbers.

        Raises
        ------
        DataError
            If z is not a table of numbers with d_z columns.
        """
        z, reasons = checked_rows("lorenz96", z, self.parameters)
        if self.subvariables:
            # Fast variables with negative damping grow without bound.
            reasons[(reasons == "") & (z[:, 2] <= 0)] = "parameter 'time_scale' is not positive"
        values = np.full((len(z), len(self.observations)), np.nan)
        good = np.flatnonzero(reasons == "")
        if len(good):
            values[good] = self._averages(z[good], stage, first + good)
        lost = (reasons == "") & ~np.isfinite(values).all(axis=1)
        reasons[lost] = "the trajectory left the range of numbers"
        return finished(values, reasons)

    def _averages(self, z: np.ndarray, stage: str, indices: np.ndarray) -> np.ndarray:
        coefficients = Coefficients.of(z, self.subvariables)
        slow, fast = self.initial_states(indices, stage)
        values = np.empty((len(z), len(self.observations)))
        for chosen in blocks(len(z)):
            averages = window_averages(
                *rows(slow[chosen], fast[chosen]),
                coefficients.rows(chosen, self.variables),
                self.products,
                self.time_step,
                self.spin_up_steps,
                self.windows,
                self.samples,
                self.sample_every,
            )
            # The last block repeats its last member, with the same answer.
            values[chosen] = averages.reshape(-1, MEMBERS).T
        return values


forward_model = Lorenz96Model
"""The forward model of a section and a seed."""
