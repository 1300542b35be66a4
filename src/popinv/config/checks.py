"""Checks between the sections of a study.

Each check takes validated sections and yields problems whose paths begin at the study. A section
that is itself at fault is None, and the checks that need it are left out: the message still holds
everything that can be said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from popinv.config.budget import MOST_INPUTS, MOST_SOLVES
from popinv.config.evidence import evidence_problems
from popinv.config.numerics import Assessment
from popinv.config.observations import (
    FileObservations,
    SyntheticObservations,
    known_problems,
    known_quantities,
    level_problems,
    limit_problems,
    member_problems,
)
from popinv.config.study_sections import Sections
from popinv.config.traits import refusals, traits
from popinv.errors import ConfigError
from popinv.forward.external.section import ExternalSection
from popinv.forward.outside import check_forward
from popinv.forward.section import ForwardSection
from popinv.inference.estimators.settings import FEWEST_GROUPS, DescentSettings
from popinv.methods.section import ObservedSystems, StudySections
from popinv.methods.sections import StudyDownstream
from popinv.population.kinds import Law, sections_by_kind
from popinv.population.laws.fields_section import FieldLaw
from popinv.population.laws.section import LawSection
from popinv.population.noise.kernel_section import KernelSection
from popinv.population.noise.section import NoiseSection
from popinv.sections.messages import ConfigProblem, name_problems, shown, value_problems
from popinv.sections.outside import is_outside


def study_problems(study: Mapping[str, Any]) -> Iterator[ConfigProblem]:
    """Yield the contradictions between the sections of a study.

    Parameters
    ----------
    study : mapping
        The study as it stands in the file. What is wrong within a section is not repeated.
    """
    sections = Sections.of_study(study)
    if sections.forward:
        yield from _forward(sections)
    yield from _model(study, sections)
    yield from refusals(sections, traits(sections))
    if sections.observations:
        yield from _observed(sections.observations, sections)
    if sections.evidence:
        yield from evidence_problems(sections.evidence)
    if sections.assessment:
        yield from _assessment(sections.assessment, sections)
    if sections.downstream:
        for problem in _downstream(sections.downstream, sections):
            yield problem.under("downstream")


def _forward(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield the problems of the forward model; the other checks then treat it as unknown."""
    forward = sections.forward
    if forward and is_outside(forward.kind):
        try:
            check_forward(forward, 0)
        except ConfigError as error:
            yield ConfigProblem(("forward", "kind"), f"got '{forward.kind}', but {error}.")
            forward = None
    if forward and (contradictions := list(forward.problems())):
        yield from (problem.under("forward") for problem in contradictions)
        forward = None
    sections.forward = forward


def _model(study: Mapping[str, Any], sections: Sections) -> Iterator[ConfigProblem]:
    forward, law, noise = sections.forward, sections.law, sections.noise
    observations, descent = sections.observations, sections.descent
    if law:
        yield from _law(forward, law)
    elif forward and isinstance(study.get("law"), Mapping):
        # A law of the wrong kind explains the wrong names in its start.
        yield from _law_kind(forward, study["law"].get("kind"))
    if forward and noise:
        yield from _noise(forward, noise)
    yield from _priors(forward, law, noise)
    if isinstance(observations, SyntheticObservations):
        yield from _truth(forward, law, noise, observations)
        if descent and (descent.batch_size or 0) > observations.count:
            yield ConfigProblem(
                ("descent", "batch_size"),
                f"got {descent.batch_size}, but there are {observations.count} observations "
                "(observations.count); null uses all of them.",
            )
    if isinstance(observations, FileObservations) and forward:
        yield from _place_columns(forward, observations)
    if descent:
        yield from _descent(descent)
    if sections.surrogate and sections.surrogate.kind == "gaussian_process":
        yield from _gaussian_process(sections)


def _assessment(assessment: Assessment, sections: Sections) -> Iterator[ConfigProblem]:
    yield from _baselines(assessment, sections)
    if assessment.repeats == 1:
        yield ConfigProblem(
            ("assessment", "repeats"),
            "got 1, but it must be 0 (no sampling error) or at least 2: one solve has no spread.",
        )


def _downstream(downstream: StudyDownstream, sections: Sections) -> Iterator[ConfigProblem]:
    needed = StudySections(
        sections.forward, sections.law, sections.noise, sections.surrogate, sections.assessment
    )
    yield from downstream.problems(needed)
    observed, observations = ObservedSystems(), sections.observations
    if isinstance(observations, SyntheticObservations):
        count = observations.count - len(observations.without)
        observed = ObservedSystems(count, observations.heldout)
    if observations is not None:
        yield from downstream.data_problems(observed, sections.forward)


def _observed(
    observations: SyntheticObservations | FileObservations, sections: Sections
) -> Iterator[ConfigProblem]:
    forward, law = sections.forward, sections.law
    if isinstance(observations, FileObservations):
        yield from level_problems(observations, law) if law else ()
    elif law:
        if forward:
            wanted = known_quantities(forward, law, sections.noises)
            yield from known_problems(observations, wanted)
        yield from member_problems(observations, law.level_names(), forward)
        yield from _checked_groups(observations, sections)
    yield from limit_problems(observations, forward)


def _checked_groups(
    observations: SyntheticObservations, sections: Sections
) -> Iterator[ConfigProblem]:
    """Yield too few fresh solves for the error of a surrogate of groups."""
    members, surrogate = observations.members_of_group, sections.surrogate
    if members < 2 or not sections.assessment or not surrogate or surrogate.kind != "network":
        return
    checked = sections.assessment.surrogate_check
    if checked < FEWEST_GROUPS * members:
        text = (
            f"got {checked}, but the effect of the surrogate's error is measured on "
            f"{FEWEST_GROUPS} whole groups of {members} members; set it to "
            f"{FEWEST_GROUPS * members} or more."
        )
        yield ConfigProblem(("assessment", "surrogate_check"), text)


def _law(forward: ForwardSection | None, law: LawSection) -> Iterator[ConfigProblem]:
    for problem in law.problems(forward) if forward else ():
        yield problem.under("law")
    for problem in law.spread_problems():
        yield problem.under("law")


def _priors(
    forward: ForwardSection | None, law: LawSection | None, noise: NoiseSection | None
) -> Iterator[ConfigProblem]:
    """Yield priors that do not fit, of a law and of a noise that fit the forward model."""
    stated = [each for each in (law, noise) if each is not None and each.prior is not None]
    if not stated or forward is None:
        return
    # The names and constraints of the parameters come from what computes, which takes a while.
    from popinv.population.priors.stated import prior_problems

    if law and (law.prior is None or [*_law(forward, law)]):
        law = None
    if noise and (noise.prior is None or [*_noise(forward, noise)]):
        noise = None
    yield from prior_problems(forward, law, noise)


def _law_kind(forward: ForwardSection, kind: Any) -> Iterator[ConfigProblem]:
    """Yield a problem if an invalid law section names the law of another field."""
    named = sections_by_kind(Law).get(f"{kind}")
    if named is not None and issubclass(named, FieldLaw):
        for problem in named.kind_problems(str(kind), forward):
            yield problem.under("law")


def _noise(forward: ForwardSection, noise: NoiseSection) -> Iterator[ConfigProblem]:
    for problem in noise.problems(forward):
        yield problem.under("noise")
    for problem in noise.value_problems(noise.start, forward):
        yield problem.under("noise", "start")
    if noise.discrepancy is not None:
        for problem in noise.discrepancy.problems(forward):
            yield problem.under("noise", "discrepancy")
    if not isinstance(noise, KernelSection) or noise.nugget:
        return
    if isinstance(forward, ExternalSection):
        for problem in forward.repeated_places():
            yield problem.under("forward")
    sensors = getattr(forward, "sensors", None)
    places = Counter(tuple(position) for position in (sensors and sensors.positions) or [])
    for place, times in places.items():
        if times > 1:
            yield ConfigProblem(
                ("forward", "sensors", "positions"),
                f"{times} sensors are at {shown(list(place))}, where correlated noise without a "
                "nugget would be equal; set 'noise.nugget: true', or merge them.",
            )


def _truth(
    forward: ForwardSection | None,
    law: LawSection | None,
    noise: NoiseSection | None,
    observations: SyntheticObservations,
) -> Iterator[ConfigProblem]:
    at = ("observations", "truth")
    truth = observations.truth
    for problem in law.value_problems(truth.law, forward) if law else ():
        yield problem.under(*at, "law")
    if truth.noise_model and truth.noise_model.prior is not None:
        text = "the truth has no prior; state it as 'noise.prior'."
        yield ConfigProblem((*at, "noise_model", "prior"), text)
    if forward and truth.noise_model:
        for problem in truth.noise_model.problems(forward):
            yield problem.under(*at, "noise_model")
    if true_noise := truth.noise_model or noise:
        yield from _true_noise(forward, true_noise, truth.noise, (*at, "noise"))


def _true_noise(
    forward: ForwardSection | None,
    noise: NoiseSection,
    given: Mapping[str, Any],
    at: tuple[str, ...],
) -> Iterator[ConfigProblem]:
    names, values = tuple(noise.start.model_dump()), type(noise.start)
    known = {name: given[name] for name in names if name in given}
    wrong = list(value_problems(known, values))
    if noise.errors:
        wrong += noise.errors.value_problems(given)
    wanted = tuple(noise.start_values())
    named = given
    if noise.discrepancy is not None:
        wrong += noise.discrepancy.value_problems(given, forward)
        named = {n: value for n, value in given.items() if n not in noise.discrepancy.optional()}
    for problem in (*name_problems(named, wanted, "the noise's parameters"), *wrong):
        yield problem.under(*at)
    if forward and not wrong:
        for problem in noise.value_problems(values.model_validate(known), forward):
            yield problem.under(*at)


def _place_columns(
    forward: ForwardSection, observations: FileObservations
) -> Iterator[ConfigProblem]:
    """Yield columns of places that no sensors have, and sensors without such columns."""
    given, at = observations.place_columns, ("observations", "place_columns")
    if not forward.observed(0).own_sensors:
        if given:
            yield ConfigProblem(
                at,
                f"got {shown(given)}, but the sensors are the same in all systems; leave it out, "
                "or set 'forward.design: [sensors]', if the forward model has this key.",
            )
        return
    axes = [axis for axis in "xy" if f"{axis}_1" in forward.design_names()]
    if observations.layout == "long" and len(given) != len(axes):
        yield ConfigProblem(
            at,
            f"got {shown(given)}, but the places of the sensors have {len(axes)} "
            f"coordinate(s); name the columns of {' and '.join(axes)}.",
        )


def _descent(descent: DescentSettings) -> Iterator[ConfigProblem]:
    if descent.final_learning_rate > descent.learning_rate:
        yield ConfigProblem(
            ("descent", "final_learning_rate"),
            f"got {descent.final_learning_rate:g}, but it must be at most descent.learning_rate "
            f"({descent.learning_rate:g}): the rate decays.",
        )
    if 0 < descent.pooled_directions < descent.directions:
        yield ConfigProblem(
            ("descent", "pooled_directions"),
            f"got {descent.pooled_directions}, but each step takes {descent.directions} "
            "(descent.directions) from the pool; 0 draws fresh ones.",
        )


def _baselines(assessment: Assessment, sections: Sections) -> Iterator[ConfigProblem]:
    descent = sections.descent
    for i, name in enumerate(assessment.baselines):
        at = ("assessment", "baselines", i)
        if name in assessment.baselines[:i]:
            yield ConfigProblem(at, f"'{name}' stands twice in the list; leave one out.")
        elif descent and name == descent.policy:
            yield ConfigProblem(
                at, f"got '{name}', which is the study's own descent.policy already; leave it out."
            )


def _gaussian_process(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield what a Gaussian process is too costly for, and its package if that is missing."""
    forward, learning, assessment = sections.forward, sections.active_learning, sections.assessment
    kind = ("surrogate", "kind")
    if find_spec("sklearn") is None:
        yield ConfigProblem(
            kind,
            "got 'gaussian_process', which needs scikit-learn: "
            "python -m pip install 'popinv[gaussian-process]'. Or use 'network'.",
        )
    inputs = len(forward.inputs()) if forward else 0
    if inputs > MOST_INPUTS:
        yield ConfigProblem(
            kind,
            f"got 'gaussian_process', which has a length scale for each input, at most "
            f"{MOST_INPUTS}; the forward model has {inputs} (parameters and design). Use "
            "'network', with more solves, or fewer parameters.",
        )
    if learning and assessment:
        solves = learning.first_design + (learning.rounds - 1) * learning.solves_per_round
        solves += assessment.surrogate_check
        if solves > MOST_SOLVES:
            yield ConfigProblem(
                kind,
                f"got 'gaussian_process', whose cost grows with the cube of the solves, at most "
                f"{MOST_SOLVES}; the rounds and the check make {solves} "
                "(active_learning.first_design, solves_per_round, rounds; "
                "assessment.surrogate_check). Use 'network', or solve fewer.",
            )
