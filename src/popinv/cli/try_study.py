"""First solves of a study's forward model, before the workflow starts.

This checks the configuration and its files as the workflow does, says how long its solves may take,
solves the first systems of the first design, and prints the results, the time for a solve, the
number and the time of the solves that the study needs, and a verdict. A simulator that cannot work
is detected within seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from popinv.cli.enough import too_few_systems
from popinv.cli.first_times import interpolated_in_time, rounded_in_time
from popinv.cli.solve_costs import all_solves, duration, study_costs
from popinv.cli.trial_solves import solve_few, unwatched_files
from popinv.cli.trial_verdict import ends_of, verdict
from popinv.config.budget import MOST_INPUTS
from popinv.config.data_files import check_data_files, check_observation_file
from popinv.config.loading import load_file
from popinv.config.observations import FileObservations
from popinv.config.study import Config, Study
from popinv.forward.base import ClaimedDerivatives, ForwardModel, Solutions, session
from popinv.forward.python.section import PythonFunction
from popinv.forward.section import MayBeRandom
from popinv.inference.estimators.polish import pseudo_likelihood_solves
from popinv.inference.estimators.settings import PolishSettings
from popinv.observation_files.heldout import learned_and_tested
from popinv.observation_files.table import ObservationTable, described
from popinv.population.known import Known
from popinv.population.laws.section import law_spread, law_values
from popinv.population.members import known_apart
from popinv.population.model import covariate_names
from popinv.population.synthetic import broad_parameters
from popinv.population.synthetic_observed import synthetic_known
from popinv.seeds import generator
from popinv.workflow.rounds import solve_count

# Solves that are few for a network, and seconds of all solves that are long.
_FEW_SOLVES, _LONG = 300, 8 * 3600.0
# So many files are named.
_MOST_FILES = 5
# Systems that are solved again, and the share of two solves by which rounding may part them.
_SOLVED_AGAIN, _ROUNDING = 5, 1e-6
# Solves of a random simulator after the first round, for each system.
_SOLVES_OF_SYSTEM = 10
# Steps of the likelihood, about, and the cost of a solve with its gradient in solves.
_STEPS, _WITH_ADJOINT = 50, 3


def try_studies(path: str | Path, systems: int, say: Callable[[str], None]) -> bool:
    """Solve a few systems of each study of a configuration.

    Parameters
    ----------
    path : path
        The configuration.
    systems : int
        Number of systems of the first design to solve.
    say : callable
        Told, line by line, what the solves may take, and then the results.

    Returns
    -------
    bool
        Whether at least one system of each study was solved.

    Raises
    ------
    ConfigError, DataError
        If the configuration, or a file that it names, does not pass the checks.
    SolverError
        If a simulator cannot be used at all.
    """
    config = load_file(path)
    check_data_files(config)
    solved = []
    for number, (name, study) in enumerate(config.studies.items()):
        if number:
            say("")
        say(f"{name}: the configuration passes the checks")
        solved.append(_try(name, study, systems, config, lambda line: say("  " + line)))
    return all(solved)


def _try(name: str, study: Study, systems: int, config: Config, say: Callable[[str], None]) -> bool:
    # Loading has filled the seed in.
    seed = study.seed or 0
    table = None
    if isinstance(study.observations, FileObservations):
        table = check_observation_file(
            study.observations,
            study.forward,
            covariate_names(study.law, study.noise),
            study.law.level_columns(),
        )
    # The rows that the rule propose_parameters draws first.
    population = study.law.law(study.forward)
    z = broad_parameters(
        population,
        law_values(study.law, study.law.start, study.forward),
        law_spread(study.law, study.forward),
        seed,
        "propose/0",
        systems,
        _known(study, seed, table, systems),
    )
    model = study.forward.model(seed)
    with unwatched_files(study.forward, config.results) as unwatched, session(model):
        solutions, seconds = solve_few(
            model, study.forward, z, config.results, config.journal_seconds, say
        )
        again = _solved_again(study, model, z)
        checked = isinstance(model, ClaimedDerivatives) and model.check_derivatives(z)
    lines = [
        f"{systems} systems of the first design were tried, {duration(seconds)} each",
        *_failures(z, solutions, [parameter.name for parameter in model.parameters]),
    ]
    lines += _unwatched(unwatched)
    if checked:
        lines.append("the derivatives it gives agree with differences of solves")
    good = ~solutions.failed
    lines += _randomness(study, solutions, again)
    if good.any():
        lines.append(f"their observations lie between {_range(solutions.observations[good])}")
    observed = getattr(study.observations, "count", 0)
    if isinstance(study.observations, FileObservations) and table is not None:
        observed = len(table.values)
        lines.append(
            f"those of the {_counted(study, observed)} in {study.observations.file} lie "
            "between " + _range(table.values)
        )
        if good.any():
            at = Path(config.results, name, "trial.png")
            _draw(study, solutions.observations[good], table, at)
            lines.append(f"both are drawn in {at}: compare their places, times and units")
        lines += described(table)
        lines += rounded_in_time(study, table, solutions.observations[good])
    lines += interpolated_in_time(study, z[good])
    lines += too_few_systems(study, table)
    lines += _solves_of_random(study, observed)
    calls = all_solves(study)
    lines += study_costs(study, seconds)
    if without := _no_surrogate(study, seconds, observed, len(population.names)):
        lines += without
    else:
        lines += _fewer_solves(study, calls, calls * seconds)
        # Without derivatives the likelihood, which is most often the answer, does not use it.
        if study.surrogate.kind != "none" and getattr(study.forward, "derivatives", None):
            lines += _cheap_enough(study.polish, seconds, observed, len(population.names))
    lines += verdict(study, solutions, table, seconds)
    for line in lines:
        say(line)
    return bool(good.any())


def _draw(study: Study, solved: np.ndarray, table: ObservationTable, at: Path) -> None:
    # Matplotlib is imported only where something is drawn.
    from popinv.charts.saving import save
    from popinv.figures.trial import draw_trial

    at.parent.mkdir(parents=True, exist_ok=True)
    described = study.forward.observed(study.seed or 0)
    save(draw_trial(solved, table.values, described, table.names), at)


def _unwatched(files: list[str]) -> list[str]:
    if not files:
        return []
    more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
    return [
        f"the simulator reads {', '.join(files[:_MOST_FILES])}{more}: a change there would not "
        "repeat the solves. Name such files, inside the working directory, in 'forward.files'"
    ]


def _solved_again(study: Study, model: ForwardModel, z: np.ndarray) -> Solutions | None:
    """Return other solves of a few systems, with other random numbers, of what may be random.

    A simulator that is not said to be random and takes no seed has been solved twice already, and
    a difference was refused.
    """
    forward = study.forward
    if not isinstance(forward, MayBeRandom):
        return None
    if not (forward.is_random() or forward.takes_seeds()):
        return None
    if forward.is_random():
        # The first solves compared single calls. Another model compares a row among others with
        # the row alone, so that random numbers which rows share are found.
        model = forward.model(study.seed or 0)
    with session(model):
        return model.solve(z[:_SOLVED_AGAIN], "again")


def _randomness(study: Study, solutions: Solutions, again: Solutions | None) -> list[str]:
    """Return a line if other solves of the same systems tell whether the simulator is random."""
    if again is None:
        return []
    first, second = solutions.observations[: len(again.failed)], again.observations
    both = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    if not both.any():
        return []
    size = np.abs(first[both]).max(axis=0) + np.abs(second[both]).max(axis=0)
    apart = np.abs(first[both] - second[both]).max(axis=0)
    random = bool((apart > _ROUNDING * size).any())
    if random and not study.forward.is_random():
        return [
            "set 'forward.stochastic: true': the simulator is random, as the same parameters gave "
            "another answer with other random numbers. The study then learns this variation and "
            "tells it apart from the measurement noise, as which it would count otherwise"
        ]
    if not study.forward.is_random():
        return []
    if not random:
        return [
            f"'forward.stochastic' is true, but the same parameters gave the same answer again in "
            f"{both.sum()} systems: draw the random numbers of each system from its own seed, or, "
            "if nothing in the simulator is random, leave the key out"
        ]
    lines = []
    assert isinstance(study.forward, MayBeRandom)
    if not study.forward.is_given_seeds():
        lines.append(
            "its random numbers do not come from seeds that popinv gives, so that no run can be "
            "repeated: take an argument 'seeds' ('seed' without 'vectorised'; 'pass_seed: true' "
            "for a program), and draw the random numbers of each system from its own"
        )
    return lines


def _solves_of_random(study: Study, observed: int) -> list[str]:
    """Return a line if a random simulator has fewer solves than its mean and covariance need."""
    if not study.forward.is_random():
        return []
    learning = study.active_learning
    solves, wanted = (learning.rounds - 1) * solve_count(study, "1"), _SOLVES_OF_SYSTEM * observed
    if solves >= wanted:
        return []
    each = -(-wanted // (learning.rounds - 1))
    return [
        f"mean and covariance are learned from the {solves} solves after the first round, fewer "
        f"than {_SOLVES_OF_SYSTEM} for each of the {observed} systems: the error of the learned "
        "mean may count beside the uncertainty of the law. Set 'active_learning: "
        f"{{solves_per_round: {each}}}' if the time allows"
    ]


def _known(study: Study, seed: int, table: ObservationTable | None, systems: int) -> Known | None:
    """Return the known quantities of the first systems of the first design, if it has any."""
    observed = study.observations
    if isinstance(observed, FileObservations):
        if table is None or table.known is None:
            return None
        count, share = len(table.values), observed.heldout_fraction
        learned = learned_and_tested(count, share, seed)[0]
        columns, present = table.known.of(learned), table.present_members[learned]
    else:
        count = observed.count + observed.heldout
        names = covariate_names(study.law, study.noise)
        made = synthetic_known(observed, study.forward.design_names(), names, seed, count)
        if made is None:
            return None
        columns = made.of(np.arange(observed.count))
        present = np.ones((observed.count, observed.members_of_group), dtype=bool)
    known = Known.of_arrays(columns.design, columns.covariates)
    if present.shape[1] > 1:
        known = known_apart(known, present)
    return known.of(generator(seed, "propose/0/systems").integers(len(known), size=systems))


def _counted(study: Study, systems: int) -> str:
    called = "group" if study.law.level_names() else "system"
    return f"{systems} {called}{'' if systems == 1 else 's'}"


def _fewer_solves(study: Study, calls: int, seconds: float) -> list[str]:
    """Return the setting that is right for few solves, where these are few or take long."""
    forward = study.forward
    few, slow = calls <= _FEW_SOLVES, seconds > _LONG
    unsuited = len(forward.inputs()) > MOST_INPUTS or forward.has_sampling_error()
    if study.surrogate.kind != "network" or unsuited or not (few or slow):
        return []
    why = "these are few solves for a network" if few else "the solves take long"
    return [
        f"{why}: a Gaussian process learns from about 200 and counts its own error as uncertainty; "
        "set 'surrogate: {kind: gaussian_process}', and leave out 'active_learning' and "
        "'assessment.surrogate_check' for its own numbers of solves"
    ]


def _no_surrogate(study: Study, seconds: float, systems: int, d_alpha: int) -> list[str]:
    """Return the setting with which the simulator is its own surrogate, where it costs less."""
    forward, descent = study.forward, study.descent.for_systems(systems)
    if study.surrogate.kind == "none":
        return []
    if not (isinstance(forward, PythonFunction) and forward.differentiated):
        return []
    draws = descent.iterations * descent.model_samples + study.polish.draws * systems * _STEPS
    wanted = seconds * (_WITH_ADJOINT * draws + pseudo_likelihood_solves(systems, d_alpha))
    if wanted > study.polish.solver_seconds:
        return []
    return [
        f"it costs less than its surrogate: the estimators take {duration(wanted)} of it, with "
        "derivatives, and there is nothing to train; set 'surrogate: {kind: none}', and leave out "
        "'active_learning' and 'assessment.surrogate_check'"
    ]


def _cheap_enough(polish: PolishSettings, seconds: float, systems: int, d_alpha: int) -> list[str]:
    """Return the setting with which the last step of the estimate uses the simulator itself."""
    wanted = seconds * pseudo_likelihood_solves(systems, d_alpha)
    if polish.seconds_per_solve is not None or wanted > polish.solver_seconds:
        return []
    return [
        "it is quick enough for the last step of the estimate to use it instead of its "
        f"surrogate: set 'polish: {{seconds_per_solve: {seconds:.1g}}}' in the study"
    ]


def _failures(z: np.ndarray, solutions: Solutions, names: list[str]) -> list[str]:
    """Return a line for each reason, with the parameters of one system that failed for it."""
    lines = []
    for reason, times in Counter(solutions.reason[solutions.failed]).most_common(5):
        row = z[int(np.flatnonzero(solutions.reason == reason)[0])]
        at = ", ".join(f"{name} {value:.4g}" for name, value in zip(names[:6], row, strict=False))
        lines.append(f"{times} of them failed: {reason}, as at {at}")
    return lines


def _range(values: np.ndarray) -> str:
    return " and ".join(f"{end:.3g}" for end in ends_of(values))
