"""The sizes of a study with which the memory and the time of its jobs grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from popinv.config.observations import Observations, SyntheticObservations
from popinv.config.study import Study
from popinv.forward.section import ForwardCost
from popinv.forward.solve_times import SolveTimes, solve_times_file, solve_times_of
from popinv.inference.settings import DescentSettings
from popinv.store import STAYS_FROM
from popinv.workflow.questions import is_synthetic, ranks_of, seconds_per_solve, solve_count

# The number of systems of a file that does not exist yet.
_SYSTEMS_OF_A_FILE = 1000
# Rates of one core in single precision: operations in products of matrices, and numbers of a field
# that a Fourier layer works on.
_FLOPS, _FIELD_NUMBERS = 5e10, 5e7
# A Gaussian process: principal components, about; seconds of a covariance with a solve; evaluations
# of a marginal likelihood from one start, of both covariance functions.
_COMPONENTS, _COVARIANCE, _SEARCHED = 10, 2e-8, 120
# The pseudo-likelihood's draws: for each system, at least, and at most. The steps with few draws
# take about as long as one evaluation with so many more.
_DRAWS_PER_SYSTEM, _FEWEST_DRAWS, _MOST_DRAWS, _DRAWS_OF_FIRST_STEPS = 16, 16_000, 400_000, 40_000


# From so many observations on, the likelihood simulates a share of them, less than this
# (popinv.inference.likelihood.reduced): 90 of 200, 194 of 500, 318 of 1000.
_SPANNED_FROM, _SHARE_OF_SPANNED = 200, 0.45


class NotAsked(LookupError):
    """The study does not ask for the method whose rule this is."""


@dataclass(frozen=True)
class Demand:
    """The memory and the time of a job's process.

    Parameters
    ----------
    megabytes, seconds : float
        Measured values, or values that follow from measurements at other sizes.
    granted_seconds : float
        Time limits of the configuration, and the start of a solver: most jobs take less.
    """

    megabytes: float
    seconds: float
    granted_seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row of the table: the functions of the sizes that give a :class:`Demand`."""

    megabytes: Callable[[Sizes], float]
    seconds: Callable[[Sizes], float]
    granted_seconds: Callable[[Sizes], float] = lambda s: 0.0

    def demand(self, s: Sizes) -> Demand:
        """Return what a job takes in a study of these sizes."""
        return Demand(self.megabytes(s), self.seconds(s), self.granted_seconds(s))


def megabytes(numbers: float) -> float:
    """Return the memory of so many double-precision numbers."""
    return 8e-6 * numbers


@dataclass(frozen=True)
class Sizes:
    """The sizes of a study.

    Parameters
    ----------
    systems : int
        Observed systems, with those that are held out.
    heldout : int
        Systems that are held out.
    solves : int
        Solves of all rounds of active learning.
    largest : int
        Solves of the largest round, whatever it is for.
    parameters, observed : int
        Numbers of parameters and of observations of a system.
    solve_seconds : float
        Time of a solve: measured, else as stated.
    stated_seconds : float
        Time of a solve by which the estimates decide whether they use the solver.
    cost : ForwardCost
        Memory of the solver, time of its start, and cells of its mesh.
    ranks : int
        Processes that solve each system together.
    """

    study: Study
    systems: int
    heldout: int
    solves: int
    largest: int
    parameters: int
    observed: int
    solve_seconds: float
    stated_seconds: float
    cost: ForwardCost
    ranks: int

    @property
    def chunk(self) -> int:
        """Solves of the largest chunk."""
        return min(self.study.active_learning.chunk_size, self.largest)

    def solving(self, systems: int) -> float:
        """Return the seconds in which a job solves so many systems."""
        return self.study.forward.solving_seconds(systems, self.solve_seconds)

    @property
    def numbers(self) -> int:
        """Numbers of a solved system."""
        return self.parameters + self.observed

    @property
    def tables(self) -> float:
        """Megabytes of all systems and solves."""
        return megabytes(self._rows * self.numbers)

    @property
    def inputs(self) -> float:
        """Megabytes of the parameters of all systems and solves."""
        return megabytes(self._rows * self.parameters)

    @property
    def _rows(self) -> int:
        return self.systems + self.solves + self.largest

    @property
    def records(self) -> float:
        """Megabytes of all solves but those of the population, as they are recorded."""
        return megabytes(self.solves * self.numbers)

    @property
    def observations(self) -> float:
        """Megabytes of the observations, in memory or in the blocks in which they are read."""
        many, errors = megabytes(self.systems * self.observed), self.study.noise.errors
        if errors is not None and errors.vary:
            # They are held as a whole.
            return 4 * many
        # Which entries of many are missing is known, a byte for each.
        return min(2 * many, megabytes(2 * STAYS_FROM)) + many / 8

    @property
    def rows_of_proposals(self) -> float:
        """Megabytes of the proposals, in memory or in the blocks in which they are read."""
        return megabytes(min(self.largest * self.parameters, STAYS_FROM))

    def of_systems(self, numbers: float) -> float:
        """Megabytes of so many results of each system."""
        return megabytes(self.systems * numbers)

    @property
    def covariance(self) -> float:
        """Megabytes of a covariance of the observations."""
        return megabytes(self.observed**2)

    @property
    def law(self) -> int:
        """Parameters of the law, about."""
        return 2 * self.parameters if self.study.law.kind in ("normal", "lognormal") else 5

    @property
    def noise(self) -> int:
        """Parameters of the noise, about."""
        entries = self.observed * (self.observed + 1) // 2
        return {"isotropic": 1, "kernel": 3, "full": entries}.get(
            self.study.noise.kind, self.observed
        )

    @property
    def unrestricted(self) -> float:
        """Megabytes of the curvature in the entries of an unrestricted noise covariance, or 0."""
        return megabytes(self.noise**2) if self.study.noise.unrestricted else 0.0

    @property
    def passing(self) -> float:
        """Seconds in which the surrogate predicts the observations of one system."""
        network, width = self.study.surrogate, self.study.surrogate.width
        if network.kind == "gaussian_process":
            return self.covariances * _COVARIANCE
        if network.network == "fno":
            numbers = self.cost.cells * network.fourier_layers * width
            return numbers * (2 * width / _FLOPS + 1 / _FIELD_NUMBERS)
        return 2 * self.weights / _FLOPS

    @property
    def layers(self) -> float:
        """Megabytes that the surrogate keeps of one system for the gradient."""
        network, width = self.study.surrogate, self.study.surrogate.width
        if network.kind == "gaussian_process":
            return megabytes(4 * self.covariances)
        if network.network == "fno":
            return megabytes(2 * self.cost.cells * network.fourier_layers * width)
        return megabytes(network.depth * width + self.numbers)

    @property
    def covariances(self) -> float:
        """Covariances with the solves that a Gaussian process evaluates for one system."""
        return self.solves * min(self.observed, _COMPONENTS)

    @property
    def weights(self) -> float:
        """Weights of the surrogate's layers, about."""
        network = self.study.surrogate
        if network.kind == "gaussian_process":
            return self.covariances
        return network.width * (self.numbers + network.depth * network.width)

    @property
    def descent(self) -> DescentSettings:
        """Settings of the descent on all systems."""
        return self.study.descent.for_systems(self.systems)

    @property
    def descent_megabytes(self) -> float:
        """Megabytes of the descent's process."""
        samples = self.descent.model_samples
        numbers = 4 * samples * self.study.descent.directions
        return (
            600
            + 6 * self.records
            + self.observations
            + self.of_systems(6 * (self.law + self.noise))
            + 12 * self.unrestricted
            + samples * self.layers
            # Signal, noise, their sum and what the gradient keeps of them.
            + megabytes(8 * samples * self.observed)
            + megabytes(numbers)
        )

    @property
    def training_megabytes(self) -> float:
        """Megabytes of the process that trains the surrogate."""
        # The validation set passes through the network as a whole.
        network = self.study.surrogate
        # The last estimate holds the influence of each system.
        known = 480 + 6 * self.records + self.of_systems(6 * (self.law + self.noise))
        if network.kind == "gaussian_process":
            return known + megabytes((6 + 2 * self.parameters) * self.solves**2)
        rows = max(network.batch_size, network.validation_fraction * self.solves)
        return known + 2 * rows * self.layers

    @property
    def training(self) -> float:
        """Seconds of a whole training for each solve."""
        network = self.study.surrogate
        if network.kind == "gaussian_process":
            # For each solve, the matrices of each search and component, and their inverses.
            searches = _SEARCHED * (1 + network.restarts) * min(self.observed, _COMPONENTS)
            work = 1e-7 * (2 + self.parameters) * self.solves + 2e-9 * self.solves**2
            return searches * (1e-3 / self.solves + work)
        return network.max_epochs * (3 * self.passing + 2e-4 / network.batch_size)

    @property
    def step(self) -> float:
        """Seconds of a step of the descent."""
        asked = self.descent
        data = min(self.systems, asked.batch_size or self.systems)
        sorting = 5e-8 * (data + asked.model_samples) * asked.directions
        # The noise of each simulated system passes through its factor, and so does the gradient.
        factors = 12 * self.observed**2 / _FLOPS
        simulating = asked.model_samples * (3 * self.passing + factors)
        # Random rows are in all parts of a table that stays in its store.
        numbers = self.systems * self.observed
        reading = 2e-8 * numbers if numbers > STAYS_FROM else 0.0
        return 5e-3 + simulating + sorting + reading + 5e-3 * self.unrestricted

    @property
    def draws(self) -> int:
        """Draws of the pseudo-likelihood."""
        return min(max(_FEWEST_DRAWS, _DRAWS_PER_SYSTEM * self.systems), _MOST_DRAWS)

    @property
    def moments(self) -> float:
        """Seconds of an evaluation of the pseudo-likelihood with its derivatives."""
        return self._of_draws(self.draws)

    @property
    def moments_of_round(self) -> float:
        """The same with the draws of a round's estimate."""
        return self._of_draws(_FEWEST_DRAWS)

    def _of_draws(self, draws: int) -> float:
        # Observations are multiplied with each other for the covariance, and with their tangents.
        products = (1 + self.law) * 2 * self.observed**2 / _FLOPS
        return (draws + _DRAWS_OF_FIRST_STEPS) * ((1 + 2 * self.law) * self.passing + products)

    @property
    def integral(self) -> float:
        """Seconds of an evaluation of the likelihood of one system with its derivatives."""
        # Residuals of all draws are whitened, and pass through a matrix for each noise parameter.
        # Many observations are taken in the span of their signals.
        many = self.observed >= _SPANNED_FROM
        whitened = _SHARE_OF_SPANNED * self.observed if many else self.observed
        whitening = 20 * whitened**2 / _FLOPS
        return self.study.polish.draws * ((3 + 0.2 * self.parameters) * self.passing + whitening)

    @property
    def solver(self) -> float:
        """Seconds of the solver that the likelihoods may take together."""
        asked = self.study.polish
        fewest = min(self.draws * (1 + 2 * self.law), 3 * asked.draws * self.systems)
        if fewest * self.stated_seconds > asked.solver_seconds:
            return 0.0
        # The number of solves follows the stated time, and their time the measured one.
        slower = self.solve_seconds / self.stated_seconds if self.stated_seconds else 1.0
        return 2 * asked.solver_seconds * slower + self.cost.setup_seconds


def measured_solves(study: Study, results: str | Path) -> SolveTimes | None:
    """Return the measured times of a study's solves, None if there are none.

    They count where nothing else is known of the solver.

    Parameters
    ----------
    results : path
        The folder of the results.
    """
    file = times_file(study, results)
    return None if file is None else solve_times_of(file)


def times_file(study: Study, results: str | Path) -> Path | None:
    """Return the file of :func:`measured_solves`, None where something is known of the solver."""
    return solve_times_file(results, study.forward) if study.forward.cost().guess else None


def sizes(study: Study, measured: float | None = None) -> Sizes:
    """Return the sizes of a study.

    Parameters
    ----------
    measured : float, optional
        Mean seconds of a solve; without it they are assumed.
    """
    section, learning = study.forward, study.active_learning
    stated = seconds_per_solve(study)
    parameters, observed = len(section.parameter_names()), section.observation_count()
    systems, heldout = _systems(study.observations, observed)
    if isinstance(study.observations, SyntheticObservations):
        observed *= study.observations.replicates
    rounds = ["0", "1", "check", "fixed", *(["truth"] if is_synthetic(study) else [])]
    rounds += [f"systems_{count}" for count in study.evidence.system_counts]
    return Sizes(
        study=study,
        systems=systems,
        heldout=heldout,
        solves=solve_count(study, "0") + (learning.rounds - 1) * learning.solves_per_round,
        largest=max(solve_count(study, name) for name in rounds),
        parameters=parameters,
        observed=observed,
        solve_seconds=stated if measured is None else measured,
        stated_seconds=stated,
        cost=section.cost() if measured is None else section.measured_cost(measured),
        ranks=ranks_of(study),
    )


def _systems(asked: Observations, observed: int) -> tuple[int, int]:
    """Return the number of systems, and how many of them are held out."""
    if isinstance(asked, SyntheticObservations):
        return asked.count + asked.heldout, asked.heldout
    # The file is not read: it has room for so many systems at four bytes a number.
    path = Path(asked.file)
    files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    total = sum(f.stat().st_size for f in files if f.exists())
    systems = max(_SYSTEMS_OF_A_FILE, total // (4 * observed))
    return systems, math.ceil(asked.heldout_fraction * systems)
