"""The sizes of a study with which the memory and the time of its jobs grow.

Counts of operations follow from the algorithms; the rates are for one core.
"""

from __future__ import annotations

import math
from pathlib import Path

from popinv.config.observations import Observations, SyntheticObservations
from popinv.config.study import Study
from popinv.forward.section import ForwardCost
from popinv.store import STAYS_FROM
from popinv.workflow.rounds import rounds_of, solve_count

# The number of systems of a file that does not exist yet.
_SYSTEMS_OF_A_FILE = 1000
# Operations in products of matrices in single precision, on one core in a second.
_FLOPS = 5e10
# A Gaussian process: principal components, about; seconds of a covariance with a solve; evaluations
# of a marginal likelihood from one start, of both covariance functions.
_COMPONENTS, _COVARIANCE, _SEARCHED = 10, 2e-8, 120
# The pseudo-likelihood's draws: for each system, at least, and at most. The steps with few draws
# take about as long as one evaluation with many more.
_DRAWS_PER_SYSTEM, _FEWEST_DRAWS, _MOST_DRAWS, _DRAWS_OF_FIRST_STEPS = 16, 16_000, 400_000, 40_000
# From this many observations on, the likelihood simulates a share of them, less than this
# (popinv.inference.density.reduced): 90 of 200, 194 of 500, 318 of 1000.
_SPANNED_FROM, _SHARE_OF_SPANNED = 200, 0.45
# Groups. For each draw of the effects that members share, the likelihood draws so many of a
# member's own, and so many of a level between (popinv.inference.integrate.nested). The moments
# take groups with more observations in blocks (popinv.inference.density.member_blocks).
_OF_A_MEMBER, _BETWEEN, _LARGE_GROUP = 8, 4, 200


def megabytes(numbers: float) -> float:
    """Return the memory of double-precision numbers."""
    return 8e-6 * numbers


class Sizes:
    """The sizes of a study: counts, megabytes of arrays, and seconds of parts of the computation.

    Parameters
    ----------
    study : Study
    measured : float, optional
        Mean seconds of a solve; without it they are assumed.
    systems, solves : int, optional
        In place of the study's numbers.

    Attributes
    ----------
    systems, heldout, solves, largest, chunk : int
        Observed systems, held-out ones included; the latter; solves of all rounds, of the largest
        round, and of the largest chunk.
    members : int
        Members of a system, if it is a group. A file is not read, and its members are counted as
        systems.
    calls : int
        Calls of the simulator for a draw of a system's integral in the likelihood.
    parameters, own, own_row : int
        Numbers of a system, or of a member: parameters, observations, and all of both.
    observed, row, block : int
        Observations of a system; its observations and parameters; observations of a block of a
        group, whose covariance is computed.
    law, noise : int
        Parameters of the law and of the noise, about.
    cost : ForwardCost
    solve : float
        Seconds of a solve.
    """

    def __init__(
        self,
        study: Study,
        measured: float | None = None,
        systems: int | None = None,
        solves: int | None = None,
    ) -> None:
        self.study, section, learning = study, study.forward, study.active_learning
        self.parameters, self.observed = len(section.parameter_names()), section.observation_count()
        in_study, self.heldout = _systems(study.observations, self.observed)
        self.members = 1
        if isinstance(study.observations, SyntheticObservations):
            self.members = study.observations.members_of_group
            self.observed *= study.observations.replicates * self.members
        self.row = self.members * self.parameters + self.observed
        # Members of nested groups are integrated given the effects that they share.
        levels = study.law.level_columns()
        inner = 0 if levels.crossed else len(levels.names) - 1
        self.calls = self.members * (_OF_A_MEMBER * _BETWEEN ** (inner - 1) if inner > 0 else 1)
        self.own = self.observed // self.members
        self.own_row = self.parameters + self.own
        self.block = min(self.observed, max(_LARGE_GROUP, 2 * self.own))
        rounds = [*rounds_of(study), "1", "fixed"]
        rounds += [f"systems_{count}" for count in study.evidence.system_counts]
        of_rounds = learning.first_design + (learning.rounds - 1) * learning.solves_per_round
        self.systems, self.solves = systems or in_study, solves or of_rounds
        self.largest = max(solve_count(study, name) for name in rounds)
        self.chunk = min(learning.chunk_size, self.largest)
        self.law = 2 * self.parameters if study.law.kind in ("normal", "lognormal") else 5
        full = self.own * (self.own + 1) // 2
        families = {"isotropic": 1, "kernel": 3, "full": full}
        self.noise = families.get(study.noise.kind, self.own)
        self.cost: ForwardCost = (
            section.cost() if measured is None else section.measured_cost(measured)
        )
        self.solve = study.seconds_per_solve() if measured is None else measured
        self._of_network()
        self._megabytes()
        self._seconds_of_solver()
        self._seconds()

    def _of_network(self) -> None:
        """Set what an evaluation of the surrogate at one system takes.

        ``weights`` are its multiplications, ``passing`` its seconds, and ``_kept`` the numbers that
        are held for the gradient.
        """
        network, width = self.study.surrogate, self.study.surrogate.width
        self.weights: float = width * (self.own_row + network.depth * width)
        if network.kind == "gaussian_process":
            self.weights = self.solves * min(self.own, _COMPONENTS)
            self.passing, self._kept = self.weights * _COVARIANCE, 4 * self.weights
        else:
            self.passing = 2 * self.weights / _FLOPS
            self._kept = network.depth * width + self.own_row

    def _megabytes(self) -> None:
        network, descent = self.study.surrogate, self.study.descent.for_systems(self.systems)
        errors = self.study.noise.errors
        # All systems and solves; all solves except the population's; a chunk, and the blocks
        # of the proposals that it reads.
        solved = (self.solves + self.largest) * self.own_row
        self.tables = megabytes(self.systems * self.row + solved)
        self.records = megabytes(self.solves * self.own_row)
        read = min(self.largest * self.parameters, STAYS_FROM)
        self.chunk_tables = megabytes(4 * self.chunk * self.own_row + read)
        # Observations are held as a whole, or in the blocks in which they are read. Which entries
        # are missing is known of all, a byte for each.
        whole = megabytes(self.systems * self.observed)
        blocks = min(2 * whole, megabytes(2 * STAYS_FROM)) + whole / 8
        self.observations = 4 * whole if errors is not None and errors.vary else blocks
        # Of each system: its score for law and noise; its mode, spread and likelihood.
        self.scores = megabytes(self.systems * (self.law + self.noise))
        self.modes = megabytes(self.systems * (3 * self.parameters + 4))
        # A covariance of the observations, its derivatives, and the curvature in the entries of an
        # unrestricted one.
        self.covariance = megabytes(self.block**2)
        self.derivatives = (self.law + self.noise) * self.covariance
        self.curvature = megabytes(self.noise**2) if self.study.noise.unrestricted else 0.0
        # What the surrogate keeps of a system; of a batch, or of the validation set, which passes
        # as a whole; of the draws of a step of the descent, with signal, noise and their sum.
        self.kept = megabytes(self._kept)
        largest_batch = max(network.batch_size, network.validation_fraction * self.solves)
        self.batch = megabytes(2 * largest_batch * self._kept)
        if network.kind == "gaussian_process":
            self.batch = megabytes((6 + 2 * self.parameters) * self.solves**2)
        drawn = self.members * self._kept + 8 * self.observed + 4 * descent.directions
        self.draws = megabytes(descent.model_samples * drawn) + 12 * self.curvature
        self.state, self.solver = megabytes(self.cost.state), self.cost.megabytes
        of_process = 300 + self.cost.process_megabytes + 2 * self.tables
        # The job's own process starts the ranks and waits for them.
        of_ranks = self.study.ranks() * of_process
        self.shared_solver = 250 + of_ranks + self.cost.distributed_megabytes

    def _seconds_of_solver(self) -> None:
        study, assessment, polish = self.study, self.study.assessment, self.study.polish
        self.start = self.cost.setup_seconds
        self.chunk_solves = self._solving(self.chunk)
        self.shared_solves = self.chunk * self.cost.distributed_seconds / study.ranks()
        self.repeated_solves = self._solving(assessment.repeats * assessment.repeated_systems)
        through_solver = study.evidence.through == "solver"
        anew = self._solving(self.systems * self.members)
        self.solves_of_replication = anew if through_solver else 0.0
        # What the likelihoods may take. The number of their solves follows the stated time of a
        # solve, and their time the measured one.
        stated = study.seconds_per_solve()
        self.likelihood_draws = min(
            max(_FEWEST_DRAWS, _DRAWS_PER_SYSTEM * self.systems), _MOST_DRAWS
        )
        fewest = min(
            self.members * self.likelihood_draws * (1 + 2 * self.law),
            3 * polish.draws * self.systems * self.calls,
        )
        slower = self.solve / stated if stated else 1.0
        may_solve = fewest * stated <= polish.solver_seconds
        self.granted = 2 * polish.solver_seconds * slower + self.start if may_solve else 0.0

    def _solving(self, systems: int) -> float:
        return self.study.forward.solving_seconds(systems, self.solve)

    def _seconds(self) -> None:
        study = self.study
        # Products with the covariance of a block of each group.
        product = 2 * self.observed * self.block / _FLOPS
        self.training, self.step = self._training(), self._step()
        self.descent = 5 + study.descent.iterations * self.step
        # The draws are multiplied with each other for the covariance, and with their tangents.
        passing = self.members * self.passing
        of_draw = (1 + 2 * self.law) * passing + (1 + self.law) * product
        self.moments = (self.likelihood_draws + _DRAWS_OF_FIRST_STEPS) * of_draw
        self.update = 12 + 8 * (_FEWEST_DRAWS + _DRAWS_OF_FIRST_STEPS) * of_draw
        # Residuals of all draws are whitened, and pass through a matrix for each noise parameter.
        # Many observations are taken in the span of their signals.
        spanned = _SHARE_OF_SPANNED**2 if self.own >= _SPANNED_FROM else 1.0
        of_call = (3 + 0.2 * self.parameters) * self.passing + 20 * spanned * self.own**2 / _FLOPS
        of_draw = self.calls * of_call
        self.integral = study.polish.draws * of_draw
        # The curvature takes some systems again for each parameter.
        again = 2 * (self.law + self.noise) * min(400, self.systems)
        evaluations = 6 * self.systems + 3000 + again if study.wants_likelihood() else 0
        self.likelihoods = 5 + 3 * self.moments + evaluations * self.integral
        # Where neither likelihood passes, the distance follows.
        estimates = {"distance": self.descent, "auto": max(self.likelihoods, self.descent)}
        self.estimate = estimates.get(study.estimator, self.likelihoods)
        refits = {
            "distance": (80 if study.noise.unrestricted else 12) * self.step,
            "pseudo_likelihood": 4 * self.moments,
            "likelihood": 4 * (self.systems + 300) * self.integral,
        }
        self.refit = refits.get(study.estimator, max(refits.values()))
        judged = min(self.systems, 4000) + 4000
        resampled = study.assessment.null_resamples * (self.heldout + 1000)
        self.judging = 3 * judged * self.integral + 1e-5 * resampled

    def _training(self) -> float:
        """Return the seconds of a whole training of the surrogate."""
        network = self.study.surrogate
        if network.kind == "gaussian_process":
            # The matrices of each search and component, and their inverses.
            searches = _SEARCHED * (1 + network.restarts) * min(self.own, _COMPONENTS)
            matrices = 1e-7 * (2 + self.parameters) * self.solves**2
            return searches * (1e-3 + matrices + 2e-9 * float(self.solves) ** 3)
        return self.solves * network.max_epochs * (3 * self.passing + 2e-4 / network.batch_size)

    def _step(self) -> float:
        """Return the seconds of a step of the descent."""
        descent = self.study.descent.for_systems(self.systems)
        data = min(self.systems, descent.batch_size or self.systems)
        sorting = 5e-8 * (data + descent.model_samples) * descent.directions
        # The noise of each simulated system passes through its factor, and so does the gradient.
        of_noise = 12 * self.observed * self.own / _FLOPS
        of_system = 3 * self.members * self.passing + of_noise
        # Random rows are in all parts of a table that stays in its store.
        numbers = self.systems * self.observed
        reading = 2e-8 * numbers if numbers > STAYS_FROM else 0.0
        simulating = descent.model_samples * of_system
        return 5e-3 + simulating + sorting + reading + 5e-3 * self.curvature


def _systems(asked: Observations, observed: int) -> tuple[int, int]:
    """Return the number of systems, and how many of them are held out."""
    if isinstance(asked, SyntheticObservations):
        return asked.count + asked.heldout, asked.heldout
    # The file is not read: its size bounds the systems, at four bytes a number.
    path = Path(asked.file)
    files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    total = sum(f.stat().st_size for f in files if f.exists())
    systems = max(_SYSTEMS_OF_A_FILE, total // (4 * observed))
    return systems, math.ceil(asked.heldout_fraction * systems)
