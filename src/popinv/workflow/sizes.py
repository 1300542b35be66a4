"""The sizes of a study with which the memory and the time of its jobs grow.

Counts of operations are those of the algorithms; the rates are those of one core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from popinv.config.observations import Observations, SyntheticObservations
from popinv.config.study import Study
from popinv.forward.section import ForwardCost
from popinv.store import STAYS_FROM
from popinv.workflow.rounds import rounds_of, solve_count

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

Sizes = dict[str, float]
"""Counts, megabytes and seconds by name."""


def megabytes(numbers: float) -> float:
    """Return the memory of so many double-precision numbers."""
    return 8e-6 * numbers


@dataclass(frozen=True)
class _Counts:
    """Counts of a study: systems, solves, and numbers of each."""

    study: Study
    systems: int
    heldout: int
    solves: int
    largest: int
    parameters: int
    observed: int

    @property
    def row(self) -> int:
        """Numbers of a solved system."""
        return self.parameters + self.observed

    @property
    def chunk(self) -> int:
        """Solves of the largest chunk."""
        return min(self.study.active_learning.chunk_size, self.largest)

    @property
    def law(self) -> int:
        """Parameters of the law, about."""
        return 2 * self.parameters if self.study.law.kind in ("normal", "lognormal") else 5

    @property
    def noise(self) -> int:
        """Parameters of the noise, about."""
        known = {"isotropic": 1, "kernel": 3, "full": self.observed * (self.observed + 1) // 2}
        return known.get(self.study.noise.kind, self.observed)

    @property
    def curvature(self) -> float:
        """Megabytes of the curvature in the entries of an unrestricted noise covariance, or 0."""
        return megabytes(self.noise**2) if self.study.noise.unrestricted else 0.0


def sizes(
    study: Study,
    measured: float | None = None,
    systems: int | None = None,
    solves: int | None = None,
) -> Sizes:
    """Return the sizes of a study.

    Parameters
    ----------
    measured : float, optional
        Mean seconds of a solve; without it they are assumed.
    systems, solves : int, optional
        In the place of those of the study.

    Returns
    -------
    dict
        Counts: ``systems``, ``solves`` of all rounds, ``row`` of numbers of a system, ``weights``
        of the surrogate. All others are megabytes, which :func:`_megabytes` computes, or seconds,
        of :func:`_solver_seconds` and :func:`_seconds`.
    """
    section, learning = study.forward, study.active_learning
    parameters, observed = len(section.parameter_names()), section.observation_count()
    in_study, heldout = _systems(study.observations, observed)
    if isinstance(study.observations, SyntheticObservations):
        observed *= study.observations.replicates
    rounds = [*rounds_of(study), "1", "fixed"]
    rounds += [f"systems_{count}" for count in study.evidence.system_counts]
    of_rounds = learning.first_design + (learning.rounds - 1) * learning.solves_per_round
    n = _Counts(
        study=study,
        systems=systems or in_study,
        heldout=heldout,
        solves=solves or of_rounds,
        largest=max(solve_count(study, name) for name in rounds),
        parameters=parameters,
        observed=observed,
    )
    cost = section.cost() if measured is None else section.measured_cost(measured)
    each = study.seconds_per_solve() if measured is None else measured
    weights, passing, kept = _network(n, cost.cells)
    return {
        "systems": n.systems,
        "heldout": n.heldout,
        "solves": n.solves,
        "row": n.row,
        "weights": weights,
        **_megabytes(n, cost, kept),
        **_solver_seconds(n, cost, each),
        **_seconds(n, passing),
    }


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


def _network(n: _Counts, cells: int) -> tuple[float, float, float]:
    """Return a surrogate's weights, its seconds for one system, and the numbers that it keeps.

    It keeps them of each system for the gradient.
    """
    network, width = n.study.surrogate, n.study.surrogate.width
    if network.kind == "gaussian_process":
        covariances = n.solves * min(n.observed, _COMPONENTS)
        return covariances, covariances * _COVARIANCE, 4 * covariances
    weights = width * (n.row + network.depth * width)
    if network.network == "fno":
        numbers = cells * network.fourier_layers * width
        return weights, numbers * (2 * width / _FLOPS + 1 / _FIELD_NUMBERS), 2 * numbers
    return weights, 2 * weights / _FLOPS, network.depth * width + n.row


def _megabytes(n: _Counts, cost: ForwardCost, kept: float) -> Sizes:
    network, descent = n.study.surrogate, n.study.descent.for_systems(n.systems)
    observed, errors = megabytes(n.systems * n.observed), n.study.noise.errors
    # They are held as a whole, or in the blocks in which they are read. Which entries are missing
    # is known of all, a byte for each.
    whole = errors is not None and errors.vary
    blocks = min(2 * observed, megabytes(2 * STAYS_FROM)) + observed / 8
    # The validation set passes through a network as a whole.
    batch = 2 * max(network.batch_size, network.validation_fraction * n.solves) * kept
    if network.kind == "gaussian_process":
        batch = (6 + 2 * n.parameters) * n.solves**2
    drawn = kept + 8 * n.observed + 4 * descent.directions
    ranks, tables = n.study.ranks(), megabytes((n.systems + n.solves + n.largest) * n.row)
    return {
        # All systems and solves; all solves but those of the population; a chunk, and the blocks
        # of the proposals that it reads.
        "tables": tables,
        "records": megabytes(n.solves * n.row),
        "chunk": megabytes(4 * n.chunk * n.row + min(n.largest * n.parameters, STAYS_FROM)),
        "observations": 4 * observed if whole else blocks,
        # Of each system: its score for law and noise; its mode, spread and likelihood.
        "scores": megabytes(n.systems * (n.law + n.noise)),
        "modes": megabytes(n.systems * (3 * n.parameters + 4)),
        # A covariance of the observations, and its derivatives.
        "covariance": megabytes(n.observed**2),
        "derivatives": megabytes((n.law + n.noise) * n.observed**2),
        # What the surrogate keeps of a system; of a batch; of the draws of a step of the descent,
        # with signal, noise and their sum.
        "kept": megabytes(kept),
        "batch": megabytes(batch),
        "draws": megabytes(descent.model_samples * drawn) + 12 * n.curvature,
        "state": megabytes(cost.state),
        "solver": cost.megabytes,
        "shared_solver": ranks * (300 + cost.firedrake_megabytes + 2 * tables)
        + cost.distributed_megabytes,
    }


def _solver_seconds(n: _Counts, cost: ForwardCost, each: float) -> Sizes:
    study, solving = n.study, n.study.forward.solving_seconds
    polish, repeated, stated = study.polish, study.assessment, study.seconds_per_solve()
    # The number of solves of the likelihoods follows the stated time, and their time the measured.
    fewest = min(_draws(n) * (1 + 2 * n.law), 3 * polish.draws * n.systems)
    may_solve = fewest * stated <= polish.solver_seconds
    slower = each / stated if stated else 1.0
    granted = 2 * polish.solver_seconds * slower + cost.setup_seconds if may_solve else 0.0
    replications = study.evidence.calibration_block
    through_solver = study.evidence.through == "solver"
    return {
        "start": cost.setup_seconds,
        "solve": each,
        "chunk_solves": solving(n.chunk, each),
        "shared_solves": n.chunk * cost.distributed_seconds / study.ranks(),
        "repeated_solves": solving(repeated.repeats * repeated.repeated_systems, each),
        "replicated_solves": replications * solving(n.systems, each) if through_solver else 0.0,
        # What the likelihoods may take.
        "granted": granted,
        "granted_replications": replications * granted,
    }


def _draws(n: _Counts) -> int:
    """Return the number of draws of the pseudo-likelihood."""
    return min(max(_FEWEST_DRAWS, _DRAWS_PER_SYSTEM * n.systems), _MOST_DRAWS)


def _seconds(n: _Counts, passing: float) -> Sizes:
    """Return the seconds of parts of the computation.

    Parameters
    ----------
    passing : float
        Seconds in which the surrogate predicts the observations of one system.
    """
    study, product = n.study, 2 * n.observed**2 / _FLOPS
    rounds, training, step = study.active_learning.rounds, _training(n, passing), _step(n, passing)
    descent = 5 + study.descent.iterations * step
    # The draws are multiplied with each other for the covariance, and with their tangents.
    of_draw = (1 + 2 * n.law) * passing + (1 + n.law) * product
    moments = (_draws(n) + _DRAWS_OF_FIRST_STEPS) * of_draw
    update = 12 + 8 * (_FEWEST_DRAWS + _DRAWS_OF_FIRST_STEPS) * of_draw
    # Residuals of all draws are whitened, and pass through a matrix for each noise parameter. Many
    # observations are taken in the span of their signals.
    spanned = _SHARE_OF_SPANNED**2 if n.observed >= _SPANNED_FROM else 1.0
    integral = study.polish.draws * ((3 + 0.2 * n.parameters) * passing + 10 * spanned * product)
    # The curvature takes some systems again for each parameter.
    again = 2 * (n.law + n.noise) * min(400, n.systems)
    evaluations = 6 * n.systems + 3000 + again if study.wants_likelihood() else 0
    likelihoods = 5 + 3 * moments + evaluations * integral
    # Where neither likelihood passes, the distance follows.
    estimates = {"distance": descent, "auto": max(likelihoods, descent)}
    estimate = estimates.get(study.estimator, likelihoods)
    resamples = {
        "distance": (80 if study.noise.unrestricted else 12) * step,
        "pseudo_likelihood": 4 * moments,
        "likelihood": 4 * (n.systems + 300) * integral,
    }
    resample = resamples.get(study.estimator, max(resamples.values()))
    judged = min(n.systems, 4000) + 4000
    return {
        "passing": passing,
        "training": training,
        "step": step,
        "descent": descent,
        "descents": study.descent.restarts * descent,
        "moments": moments,
        "update": update,
        "rounds": rounds * (5 + training + update),
        "likelihoods": likelihoods,
        "scoring": (n.systems + n.heldout + 1000) * integral,
        "judging": 3 * judged * integral
        + 1e-5 * study.assessment.null_resamples * (n.heldout + 1000),
        "resample": resample,
        "resamples": (study.assessment.bootstrap + 1) * resample,
        "estimate": estimate,
        # The estimates that measure errors start from the study's answer.
        "errors": study.evidence.repeats * estimate / 2,
        "replications": study.evidence.calibration_block * estimate,
        "own_fits": 100 * n.systems * n.parameters * passing,
        "chains": 1e6 * min(n.systems, 100) * passing,
    }


def _training(n: _Counts, passing: float) -> float:
    """Return the seconds of a whole training of the surrogate."""
    network = n.study.surrogate
    if network.kind == "gaussian_process":
        # The matrices of each search and component, and their inverses.
        searches = _SEARCHED * (1 + network.restarts) * min(n.observed, _COMPONENTS)
        return searches * (
            1e-3 + 1e-7 * (2 + n.parameters) * n.solves**2 + 2e-9 * float(n.solves) ** 3
        )
    return n.solves * network.max_epochs * (3 * passing + 2e-4 / network.batch_size)


def _step(n: _Counts, passing: float) -> float:
    """Return the seconds of a step of the descent."""
    descent = n.study.descent.for_systems(n.systems)
    data = min(n.systems, descent.batch_size or n.systems)
    sorting = 5e-8 * (data + descent.model_samples) * descent.directions
    # The noise of each simulated system passes through its factor, and so does the gradient.
    simulating = descent.model_samples * (3 * passing + 12 * n.observed**2 / _FLOPS)
    # Random rows are in all parts of a table that stays in its store.
    numbers = n.systems * n.observed
    reading = 2e-8 * numbers if numbers > STAYS_FROM else 0.0
    return 5e-3 + simulating + sorting + reading + 5e-3 * n.curvature
