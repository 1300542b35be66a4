"""The experiment that a design chooses from: of a study's configuration, or of a finished study."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from popinv.api.functions import OwnFunction
from popinv.config.observations import states_noise_scales
from popinv.config.study import Study
from popinv.errors import ConfigError, require_known
from popinv.forward.external.section import ExternalSection, LocalSimulator
from popinv.forward.section import ForwardSection
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.stages.run_rounds import solve_round
from popinv.late import torch
from popinv.observation_files.limit_keys import states_limits
from popinv.observation_files.section import FileObservations
from popinv.planning.experiment import Arm, Experiment
from popinv.population.known import Known, known_of
from popinv.population.laws.section import law_spread, law_values
from popinv.population.model import Model, covariate_names
from popinv.population.noise.terms import Noise
from popinv.population.noise.time_series import AutoregressiveNoise, BlockNoise
from popinv.population.priors.prior import Prior, nonnegative
from popinv.population.priors.stated import stated_prior
from popinv.population.stages.import_observations import import_observations
from popinv.population.synthetic_observed import known_of_systems
from popinv.sections.base import plain
from popinv.sections.messages import explain, report, shown
from popinv.sections.refusals import REFUSED
from popinv.seeds import generator
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.exact import of_section
from popinv.surrogate.simulator import is_exact
from popinv.surrogate.stages.train_surrogate import train_surrogate

if TYPE_CHECKING:
    from popinv.api.result import Result

# Plausible truths over which a robust design averages.
_DRAWS = 8
# Standard deviation of the first design about the truth; and of the noise about it, robustly.
_SPREAD, _NOISE_SPREAD = 0.2, 0.3
# Systems of a synthetic study whose known quantities are drawn.
_MOST_KNOWN = 500
_SOURCE = "the candidates"
_KERNEL = "choose noise of kind 'kernel' with 'kernel: exponential', or leave the candidates out"


def experiment_of_study(
    study: Study,
    candidates: Sequence[Any] | None = None,
    choices: Mapping[str, Sequence[float]] | None = None,
    robust: bool = False,
) -> tuple[Experiment, Model]:
    """Return the experiment of a study that has not been run, and its model at the candidates.

    The truth of a synthetic study counts as true, and the start of law and noise of another one.

    Parameters
    ----------
    candidates : sequence, optional
        Times, or places of sensors; by default those of the study.
    choices : mapping of str to sequence of float, optional
        Candidates for entries of the design, such as doses.
    robust : bool
        Whether to draw further truths: the law by ``law.spread``, the noise by 30 %.
    """
    seed = int(study.seed or 0)
    _refuse_random(study.forward)
    forward = at_candidates(study.forward, candidates, seed)
    model = Model(forward, study.law, study.noise)
    law_at: Any = study.law.start
    noise_at = study.noise.start_values()
    if study.is_synthetic():
        truth = study.synthetic().truth
        law_at = truth.law
        if truth.noise_model is None:
            noise_at = truth.noise
    known = _known_of_study(study, seed)
    arms = arms_of(forward, known, choices)
    law = study.law.law(forward)
    names = covariate_names(study.law, study.noise)
    try:
        noise = study.noise.model(forward.observed(seed), names)
        alpha = law_values(study.law, law_at, forward)
        gamma = noise.from_natural(noise_at)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"law or noise do not fit the candidates: {error}") from error
    if candidates is not None:
        refuse_other_spacing(noise, *_times(study.forward, forward, seed), "candidates", _KERNEL)
    p = np.concatenate([alpha, gamma])
    simulator = _simulator(study, forward, law_at, arms, seed, robust)
    spread = law_spread(study.law, forward)
    stated = stated_prior(study.law, study.noise, law, noise)
    problem = _problem(simulator, law, noise, arms[0].known, spread, len(forward.observed(seed)))
    draws = np.empty((0, len(p)))
    if robust:
        size = np.concatenate([spread, np.full(len(gamma), _NOISE_SPREAD)])
        eta = generator(seed, "design/truths").standard_normal((_DRAWS, len(p)))
        draws = p + size * eta
    before = np.zeros((len(p), len(p)))
    if prior := Prior.of(law, noise, stated):
        before = nonnegative(prior.curvature(p))
    return _experiment(problem, model, arms, p, draws, before, 0, seed), model


def experiment_of_result(
    result: Result,
    candidates: Sequence[Any] | None = None,
    choices: Mapping[str, Sequence[float]] | None = None,
    robust: bool = False,
    previous: bool = True,
) -> tuple[Experiment, Model]:
    """Return the experiment that follows a finished study, and its model at the candidates.

    The answer counts as true.

    Parameters
    ----------
    candidates, choices
        As for :func:`experiment_of_study`. Places other than the study's need a simulator without a
        surrogate.
    robust : bool
        Whether to average over draws about the answer.
    previous : bool
        Whether the information of the finished study counts.
    """
    population, whole = result.population, result.problem
    seed = int(population.attrs["seed"])
    forward, simulator = result.model.forward, whole.surrogate
    _refuse_random(forward)
    if candidates is not None:
        if not is_exact(result.simulator):
            raise ConfigError(
                "candidates: the surrogate of this study has learned its own places alone; plan "
                "from the configuration, which trains one at the candidates, or leave them out"
            )
        forward = at_candidates(forward, candidates, seed)
        if isinstance(forward, OwnFunction):
            simulator = forward.exact()
        else:
            assert isinstance(forward, LocalSimulator)
            simulator = of_section(forward)
    model = Model(forward, result.model.law, result.model.noise)
    known = known_of(result.observations)
    conditions = whole.conditions
    arms = arms_of(forward, known, choices)
    names = result.observations.get("covariate_name")
    noise = model.noise.model(
        forward.observed(seed), () if names is None else tuple(map(str, names.values))
    )
    if candidates is not None:
        times = _times(result.model.forward, forward, seed)
        refuse_other_spacing(noise, *times, "candidates", _KERNEL)
    d = len(forward.observed(seed))
    p = estimate_of(population)
    problem = _problem(
        simulator,
        whole.law,
        noise,
        arms[0].known,
        whole.scale[: whole.d_alpha],
        d,
        conditions,
    )
    if len(noise.names) != len(p) - whole.d_alpha:
        raise ConfigError(
            f"candidates: the noise has {len(noise.names)} parameters at the candidates and "
            f"{len(p) - whole.d_alpha} in the study; plan at the study's own places"
        )
    draws = np.empty((0, len(p)))
    if robust:
        each = [population[f"{part}_draws"].values for part in ("alpha", "gamma")]
        every = np.concatenate(each, axis=1)
        draws = every[:: max(1, len(every) // _DRAWS)][:_DRAWS]
    before = np.zeros((len(p), len(p)))
    if previous:
        before = information_of(population["covariance"].values)
    count = whole.count if previous else 0
    return _experiment(problem, model, arms, p, draws, before, count, seed), model


def information_of(covariance: np.ndarray) -> np.ndarray:
    """Return the inverse of a covariance (n_p, n_p) in the parameters that have a variance.

    Units do not matter: the inverse is that of the correlations, in which directions below 1e-10
    of the largest count as unknown errors and give no information.
    """
    deviation = np.sqrt(np.diag(covariance))
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    scales = np.outer(inverse, inverse)
    return np.asarray(np.linalg.pinv(covariance * scales, rcond=1e-10, hermitian=True) * scales)


def refuse_other_spacing(
    noise: Noise, own: np.ndarray, chosen: np.ndarray, given: str, instead: str
) -> None:
    """Refuse other times for noise whose correlation is from each time to the next.

    Parameters
    ----------
    noise : Noise
    own, chosen : ndarray
        The times of the study, and the others.
    given, instead : str
        What was given, and what to do, for the message.

    Raises
    ------
    ConfigError
    """
    if not isinstance(noise.family, AutoregressiveNoise | BlockNoise):
        return
    before, after = (np.diff(np.unique(times)) for times in (own, chosen))
    alike = len(after) and np.allclose(after, after[0], rtol=1e-6, atol=0)
    if alike and np.isclose(after[0], before[0], rtol=1e-6, atol=0):
        return
    raise ConfigError(
        f"{given}: the correlation of the noise is that from each time to the next, "
        f"{before[0]:g} apart in the study, and has no value for other distances; {instead}"
    )


def _times(own: ForwardSection, placed: ForwardSection, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the last coordinates of all observations, before and after."""
    return own.observed(seed).coordinates[:, -1], placed.observed(seed).coordinates[:, -1]


def _refuse_random(forward: ForwardSection) -> None:
    """Refuse a random simulator.

    Raises
    ------
    ConfigError
    """
    if forward.is_random():
        raise ConfigError(REFUSED["design", "random simulator"])


def _problem(
    simulator: Any,
    law: Any,
    noise: Any,
    known: Known,
    spread: np.ndarray,
    places: int,
    conditions: Conditions | None = None,
) -> Problem:
    shape = (len(known), places)
    own = Conditions.stated(shape, known=known)
    if conditions is not None and (conditions.limited or conditions.scaled):
        # The experiment refuses them.
        own = conditions
        shape = own.present.shape
    scale = np.concatenate([np.where(spread > 0, spread, 1.0), noise.scale])
    return Problem(
        np.zeros(shape),
        simulator,
        law,
        noise,
        scale,
        stage="design",
        conditions=own,
    )


def _experiment(
    problem: Problem,
    model: Model,
    arms: tuple[Arm, ...],
    p: np.ndarray,
    draws: np.ndarray,
    before: np.ndarray,
    systems: int,
    seed: int,
) -> Experiment:
    return Experiment(
        replace(problem, seed=seed),
        arms,
        p,
        draws,
        before,
        systems,
        model.forward.parameter_names(),
        place_names(model.forward, seed),
    )


def place_names(forward: ForwardSection, seed: int) -> tuple[str, ...]:
    """Return the observations of a system in words: label, coordinates and time."""
    described = forward.observed(seed)
    found = []
    for i, row in enumerate(described.coordinates):
        where = [f"{n} = {v:g}" for n, v in zip(described.coordinate_names, row, strict=True)]
        label = described.labels[i] if described.labels else ""
        if label:
            where = [w for w in where if not w.startswith("entry =")]
        found.append(", ".join([*([str(label)] if label else []), *where]))
    return tuple(found)


# --- candidates ----------------------------------------------------------------------------------


def at_candidates(
    forward: ForwardSection, candidates: Sequence[Any] | None, seed: int
) -> ForwardSection:
    """Return a forward model that is observed at the candidates.

    Raises
    ------
    ConfigError
        If it has neither times nor sensors that can be placed, or they lie outside its domain.
    """
    if candidates is None:
        return forward
    points = list(candidates)
    if not points:
        raise ConfigError("candidates: is empty; leave it out to choose among the study's own")
    changes: dict[str, Any]
    if isinstance(forward, ExternalSection):
        own = forward.observations.described_times()
        if own is None:
            raise ConfigError(
                "candidates: the simulator has no times, and returns its observations at its own "
                "places; leave 'candidates' out to choose among these"
            )
        times = sorted({float(each) for each in points})
        keys = dict(plain(forward)["observations"])
        simulated = forward.observations.asked_times() or own
        if not forward.takes_times():
            if not simulated[0] <= times[0] <= times[-1] <= simulated[-1]:
                raise ConfigError(
                    f"candidates: got times from {times[0]:g} to {times[-1]:g}, but the simulator "
                    f"gives times from {simulated[0]:g} to {simulated[-1]:g}; only a function with "
                    "an argument 'times' gives others"
                )
            keys["simulated_times"] = simulated
        keys["times"] = times
        changes = {"observations": keys}
    elif "sensors" in type(forward).model_fields:
        changes = {"sensors": {"positions": [_point(each) for each in points]}}
    else:
        raise ConfigError(
            f"candidates: the sensors of '{forward.kind}' have no places that could be chosen; "
            "leave 'candidates' out to choose among its observations"
        )
    try:
        placed = type(forward).model_validate({**plain(forward), **changes})
    except ValidationError as error:
        raise ConfigError(report(_SOURCE, explain(error, type(forward)))) from None
    problems = list(placed.problems())
    if problems:
        raise ConfigError(report(_SOURCE, problems))
    if isinstance(placed, OwnFunction) and isinstance(forward, OwnFunction):
        placed = placed.having(forward.function)
    return placed


def _point(value: Any) -> Any:
    return (
        [float(v) for v in value] if isinstance(value, list | tuple | np.ndarray) else float(value)
    )


def arms_of(
    forward: ForwardSection, known: Known, choices: Mapping[str, Sequence[float]] | None
) -> tuple[Arm, ...]:
    """Return the candidates for the known quantities: all combinations of the chosen ones.

    Raises
    ------
    ConfigError
        If an entry of the design has another name.
    """
    if not choices:
        return (Arm("", known, {}),)
    names = forward.design_names()
    for name, values in choices.items():
        if not names:
            raise ConfigError(f"choices: got '{name}', but the simulator has no design")
        require_known(name, names, f"choices: got '{name}'")
        if not len(values):
            raise ConfigError(f"choices: '{name}' has no value")
    found = []
    for each in itertools.product(*choices.values()):
        design = known.design.clone()
        for name, value in zip(choices, each, strict=True):
            design[:, names.index(name)] = float(value)
        chosen = dict(zip(choices, map(float, each), strict=True))
        told = ", ".join(f"{name} = {value:g}" for name, value in chosen.items())
        found.append(Arm(told, Known(design, known.covariates), chosen))
    return tuple(found)


def _known_of_study(study: Study, seed: int) -> Known:
    """Return design and covariates of the study's systems, or of some of a synthetic study."""
    names = study.forward.design_names(), covariate_names(study.law, study.noise)
    if study.law.level_names():
        raise ConfigError(REFUSED["design", "levels"])
    section = study.observations
    if states_limits(section):
        raise ConfigError(REFUSED["design", "limits"])
    if states_noise_scales(section):
        raise ConfigError(REFUSED["design", "noise scales"])
    if isinstance(section, FileObservations):
        if not any(names):
            return Known.nothing(1)
        with redirect_stdout(io.StringIO()):
            read = import_observations(study.forward, study.law, section, study.noise, seed=seed)
        return known_of(read)
    model = Model(study.forward, study.law, study.noise)
    columns = known_of_systems(model, section, seed, min(section.count, _MOST_KNOWN))
    if columns is None:
        return Known.nothing(1)
    return Known.of_arrays(columns.design, columns.covariates)


def _simulator(
    study: Study,
    forward: ForwardSection,
    law_at: Any,
    arms: Sequence[Arm],
    seed: int,
    robust: bool,
) -> Any:
    """Return the simulator at the candidates: itself, or a surrogate that is trained now."""
    differentiated = bool(getattr(forward, "differentiated", False))
    if isinstance(forward, LocalSimulator) and (study.surrogate.kind == "none" or differentiated):
        return of_section(forward)
    spread = study.law.spread if robust else _SPREAD
    law = study.law.replace(start=law_at, spread=spread, prior=None)
    known = Known(
        torch.cat([arm.known.design for arm in arms]),
        torch.cat([arm.known.covariates for arm in arms]),
    )
    observations = None
    if known.width:
        observations = xr.Dataset(
            {
                "y": (("system", "observation"), np.zeros((len(known), 1))),
                "design": (("system", "design_name"), known.design.numpy()),
                "covariate": (("system", "covariate_name"), known.covariates.numpy()),
            }
        )
    said = io.StringIO()
    with redirect_stdout(said):
        solves = solve_round(
            forward,
            law,
            seed=seed,
            round_name="0",
            samples=study.active_learning.first_design,
            candidates=0,
            failure_budget=study.active_learning.failure_budget,
            chunk_size=study.active_learning.chunk_size,
            observations=observations,
        )
        trained = train_surrogate(
            forward,
            law,
            study.surrogate,
            solves,
            seed=seed,
            round_number=0,
            recency_decay=study.active_learning.recency_decay,
        )
    return surrogate_of(trained)


def numbers(text: str) -> list[float]:
    """Return the numbers of ``1,2,5`` or of ``FIRST:LAST:STEP``.

    Raises
    ------
    ConfigError
        If the text is neither.
    """
    try:
        if ":" in text:
            first, last, step = (float(each) for each in text.split(":"))
            if not (0 < step < np.inf and -np.inf < first <= last < np.inf):
                raise ValueError
            count = int(np.floor((last - first) / step + 1e-9)) + 1
            return [float(f"{first + k * step:.12g}") for k in range(count)]
        found = [float(each) for each in text.split(",")]
        if not np.isfinite(found).all():
            raise ValueError
        return found
    except ValueError:
        raise ConfigError(
            f"got {shown(text)}, but numbers are given as 1,2,5 or as FIRST:LAST:STEP, with a "
            "positive STEP"
        ) from None
