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
from popinv.config.discrepancy_checks import discrepancy_problems
from popinv.config.evidence import evidence_problems
from popinv.config.numerics import Assessment
from popinv.config.observations import FileObservations, SyntheticObservations, states_noise_scales
from popinv.config.random_simulator import random_problems
from popinv.config.special_systems import (
    error_problems,
    known_problems,
    level_problems,
    replicate_problems,
)
from popinv.config.study_sections import Sections
from popinv.errors import ConfigError
from popinv.forward.executable.section import Executable
from popinv.forward.external.section import ExternalSection
from popinv.forward.outside import check_forward
from popinv.forward.python.section import PythonFunction
from popinv.forward.section import ForwardSection
from popinv.inference.settings import DescentSettings, wants_likelihood
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
    if sections.forward and sections.law:
        yield from known_problems(sections.forward, sections.law, sections)
    if sections.law:
        yield from level_problems(sections.law, sections)
    yield from error_problems(sections)
    yield from random_problems(sections)
    yield from discrepancy_problems(study, sections)
    if sections.observations:
        yield from replicate_problems(sections.observations, sections)
    if sections.evidence:
        yield from evidence_problems(sections.evidence, sections.observations)
    if sections.assessment:
        yield from _assessment(sections.assessment, sections)
    if sections.polish and sections.polish.restricted:
        yield from _restricted(study, sections)
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
        yield from _file_sensors(forward)
        yield from _place_columns(forward, observations)
    if descent:
        yield from _descent(descent)
    if descent and noise:
        yield from _full_noise(descent, noise)
    if sections.surrogate and sections.surrogate.kind == "gaussian_process":
        yield from _gaussian_process(sections)
    if (
        forward
        and sections.surrogate
        and sections.surrogate.kind == "none"
        and not forward.is_random()
    ):
        yield from _no_surrogate(sections, forward)
    if forward and forward.timed_inputs():
        yield from _timed_inputs(sections, forward)


def _assessment(assessment: Assessment, sections: Sections) -> Iterator[ConfigProblem]:
    yield from _baselines(assessment, sections)
    if assessment.repeats == 1:
        yield ConfigProblem(
            ("assessment", "repeats"),
            "got 1, but it must be 0 (no sampling error) or at least 2: one solve has no spread.",
        )


# Uses that fit the likelihood again, and would compare it with the restricted likelihood.
_REFITTING = ("withdrawal", "federated", "certificate")


def _restricted(study: Mapping[str, Any], sections: Sections) -> Iterator[ConfigProblem]:
    at = ("polish", "restricted")
    if sections.law and not sections.law.has_means:
        yield ConfigProblem(
            at,
            f"got true, but the law '{sections.law.kind}' has no mean that could be integrated. "
            "Use the law normal, lognormal or transformed_normal, or leave the key out.",
        )
    estimator = study.get("estimator", "auto")
    if isinstance(estimator, str) and not wants_likelihood(estimator):
        yield ConfigProblem(
            at,
            f"got true, but 'estimator: {estimator}' computes no likelihood. Use 'estimator: "
            "likelihood' or 'auto', or leave the key out.",
        )
    for use in _REFITTING:
        if sections.downstream and getattr(sections.downstream, use, None) is not None:
            yield ConfigProblem(
                at,
                f"got true, but 'downstream.{use}' fits the likelihood again and not the "
                "restricted one, so that the fits could not be compared. Leave one of them out.",
            )


def _downstream(downstream: StudyDownstream, sections: Sections) -> Iterator[ConfigProblem]:
    needed = StudySections(
        sections.forward, sections.law, sections.noise, sections.surrogate, sections.assessment
    )
    yield from downstream.problems(needed)
    observations, forward = sections.observations, sections.forward
    if isinstance(observations, SyntheticObservations):
        irregular, gone = states_noise_scales(observations), len(observations.without)
        observed = ObservedSystems(irregular, observations.count - gone, observations.heldout)
        yield from downstream.data_problems(observed, forward)
    if isinstance(observations, FileObservations):
        yield from downstream.data_problems(
            ObservedSystems(states_noise_scales(observations)), forward
        )


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
    if noise.kind == "kernel" and forward.observed(0).own_sensors:
        yield ConfigProblem(
            ("noise", "kind"),
            "got 'kernel', which needs the same places in all systems, but the sensors stand in "
            "'forward.design'; use 'isotropic'.",
        )
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


def _file_sensors(forward: ForwardSection) -> Iterator[ConfigProblem]:
    sensors = getattr(forward, "sensors", None)
    if sensors and sensors.placement == "random" and not forward.observed(0).own_sensors:
        yield ConfigProblem(
            ("forward", "sensors"),
            "observations from a file were taken at known places; give them as "
            "'sensors: {positions: [...]}', in the order of the file's columns (or "
            "'placement: regular'); places that differ from system to system are columns of the "
            "file with 'design: [sensors]'.",
        )


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


def _full_noise(descent: DescentSettings, noise: NoiseSection) -> Iterator[ConfigProblem]:
    if not _moves_as_a_matrix(noise):
        return
    for key, needed in (("optimiser", "gauss_newton"), ("policy", "cut")):
        if getattr(descent, key) != needed:
            yield ConfigProblem(
                ("descent", key),
                f"got '{getattr(descent, key)}', but noise of kind '{noise.kind}' moves by a step "
                f"of its own that needs '{needed}'; leave it out, or choose another noise.",
            )


def _moves_as_a_matrix(noise: NoiseSection) -> bool:
    """Return whether the noise moves by the step of an unrestricted covariance."""
    return noise.unrestricted and not (noise.errors and noise.errors.vary)


def _baselines(assessment: Assessment, sections: Sections) -> Iterator[ConfigProblem]:
    law, descent, noise = sections.law, sections.descent, sections.noise
    for i, name in enumerate(assessment.baselines):
        at = ("assessment", "baselines", i)
        if name in assessment.baselines[:i]:
            yield ConfigProblem(at, f"'{name}' stands twice in the list; leave one out.")
        elif descent and name == descent.policy:
            yield ConfigProblem(
                at, f"got '{name}', which is the study's own descent.policy already; leave it out."
            )
        elif noise and _moves_as_a_matrix(noise) and name in ("full", "plain"):
            yield ConfigProblem(
                at,
                f"got '{name}', but noise of kind '{noise.kind}' moves by a step of its own that "
                "is of the policy 'cut'; leave it out, or choose another noise.",
            )
        elif law and name == "two_stage" and not law.has_density:
            yield ConfigProblem(
                at,
                "got 'two_stage', which needs the density of the law, and the density of a "
                f"'{law.kind}' has no closed form; leave it out (full, plain and nuts do "
                "without).",
            )


def _timed_inputs(sections: Sections, forward: ForwardSection) -> Iterator[ConfigProblem]:
    """Yield parts of a study that do not take inputs over time."""
    timed, surrogate = forward.timed_inputs(), sections.surrogate
    assert timed is not None
    if surrogate and surrogate.kind == "gaussian_process":
        yield ConfigProblem(
            ("surrogate", "kind"),
            "got 'gaussian_process', which does not take 'forward.inputs'. Use 'network', with an "
            "'inputs.summary', or 'none'.",
        )
    elif (
        surrogate and surrogate.kind != "none" and timed.needs_solver() and not forward.may_be_exact
    ):
        yield ConfigProblem(
            ("surrogate", "kind"),
            f"got '{surrogate.kind}', which would learn from every time and value of "
            "'forward.inputs'. State an 'inputs.summary' on which alone the observations depend, "
            "or use 'none': the simulator itself, which is then called often.",
        )
    if isinstance(sections.observations, SyntheticObservations):
        yield ConfigProblem(
            ("observations", "truth"),
            "an imaginary population has no inputs over time ('forward.inputs'); give the "
            "'observations.file', of which the file of inputs names the systems.",
        )
    if sections.law and sections.law.level_names():
        yield ConfigProblem(
            ("law", "levels"),
            "the members of a group have no inputs over time of their own; leave 'levels' or "
            "'forward.inputs' out.",
        )


def _no_surrogate(sections: Sections, forward: ForwardSection) -> Iterator[ConfigProblem]:
    """Yield what needs a surrogate."""
    if isinstance(forward, PythonFunction):
        # Differences take the place of derivatives where a surrogate cannot be.
        fits = forward.differentiated or (
            forward.derivatives is None and forward.timed_inputs() is not None
        )
    else:
        fits = isinstance(forward, Executable) and forward.timed_inputs() is not None
    if not fits:
        yield ConfigProblem(
            ("surrogate", "kind"),
            "got 'none', but only a Python function of torch that takes a table of systems "
            "(forward.kind 'python', derivatives 'torch', vectorised true) needs no surrogate, or "
            "a function without derivatives or a program with 'forward.inputs'. Use 'network'.",
        )
    if isinstance(forward, Executable) and forward.pass_seed:
        yield ConfigProblem(
            ("forward", "pass_seed"),
            "solves differ at random, so that differences of solves are no derivatives; use a "
            "surrogate, or a program without random numbers.",
        )
    if sections.evidence and sections.evidence.design_counts:
        yield ConfigProblem(
            ("evidence", "design_counts"),
            "compares networks, and there is no surrogate; leave it out.",
        )
    for name, method in sections.downstream.asked().items() if sections.downstream else ():
        if method.trains_network:
            yield ConfigProblem(
                ("downstream", name),
                "trains the surrogate's network, and there is no surrogate; leave it out, or use "
                "'surrogate: {kind: network}'.",
            )


def _gaussian_process(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield what a Gaussian process is too costly for, and what needs a network."""
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
    if forward and forward.has_sampling_error() and not forward.is_random():
        yield ConfigProblem(
            kind,
            "got 'gaussian_process', but solves of this forward model have a sampling error, which "
            "a Gaussian process does not subtract from the noise. Use 'network'.",
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
    wanted = "compares networks, and the surrogate is a Gaussian process; leave it out."
    if sections.evidence and sections.evidence.design_counts:
        yield ConfigProblem(("evidence", "design_counts"), wanted)
    for name, method in sections.downstream.asked().items() if sections.downstream else ():
        if method.trains_network:
            yield ConfigProblem(
                ("downstream", name),
                "trains the surrogate's network, and the surrogate is a Gaussian process; leave it "
                "out, or use 'surrogate: {kind: network}'.",
            )
