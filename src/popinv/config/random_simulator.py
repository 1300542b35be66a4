"""Checks on a study of a simulator that is random itself (``forward.stochastic``).

Some parts of a study do not take one. The message names the part, the reason, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from popinv.config.observations import FileObservations
from popinv.config.study_sections import Sections
from popinv.inference.settings import PolishSettings
from popinv.observation_files.limit_keys import states_limits
from popinv.sections.messages import ConfigProblem


def random_problems(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield parts of a study that do not take a random simulator."""
    forward, surrogate, law = sections.forward, sections.surrogate, sections.law
    if forward is None or not forward.is_random():
        return
    if surrogate and surrogate.kind != "network":
        yield ConfigProblem(
            ("surrogate", "kind"),
            f"got '{surrogate.kind}', but 'forward.stochastic' is true: mean and covariance of the "
            "simulator's answer are learned by a network. Use 'network'.",
        )
    if getattr(forward, "derivatives", None):
        yield ConfigProblem(
            ("forward", "derivatives"),
            "derivatives of one random answer are not those of its mean or of its covariance; "
            "leave the key out.",
        )
    if forward.timed_inputs() is not None:
        yield ConfigProblem(
            ("forward", "inputs"),
            "mean and covariance of a random answer are not learned from inputs over time; state "
            "what the answer depends on as 'forward.design'.",
        )
    if law and law.level_names():
        yield ConfigProblem(
            ("law", "levels"),
            "groups with members are not combined with 'forward.stochastic': a group would share "
            "or not share the random part of its members' answers, which the model does not state. "
            "Leave the key out, or give the effects of a group as covariates.",
        )
    exact = surrogate is not None and surrogate.kind == "none"
    # Without a surrogate there are no rounds; the refusal of the surrogate says what to do.
    if sections.active_learning and sections.active_learning.rounds < 2 and not exact:
        yield ConfigProblem(
            ("active_learning", "rounds"),
            f"got {sections.active_learning.rounds}, but the broad first design of a random "
            "simulator only finds the population; take at least 2.",
        )
    yield from _noise(sections)
    yield from _observations(sections)
    yield from _other_parts(sections)


def _noise(sections: Sections) -> Iterator[ConfigProblem]:
    noise = sections.noise
    if noise and noise.errors is not None and noise.errors.vary:
        yield ConfigProblem(
            ("noise", "errors"),
            "not with 'forward.stochastic': the sum of intrinsic variation and measurement noise "
            "has a closed form only for Gaussian noise of a constant size. Leave the key out; an "
            "error that grows with the signal can be a part of the random simulator.",
        )
    if any(each.discrepancy is not None for each in sections.noises):
        yield ConfigProblem(
            ("noise", "discrepancy"),
            "not with 'forward.stochastic': a discrepancy would have to be told apart from the "
            "error of the learned mean, which single solves do not show; leave one of the two out.",
        )
    if noise and noise.unrestricted:
        yield ConfigProblem(
            ("noise", "kind"),
            f"got '{noise.kind}', which can take the place of most intrinsic variation, so that "
            "the two are not told apart; use 'diagonal', 'isotropic' or 'kernel'.",
        )
    at_one_time = sections.forward is not None and sections.forward.time_count() in (None, 1)
    if noise and noise.kind == "channels" and at_one_time:
        yield ConfigProblem(
            ("noise", "kind"),
            "got 'channels' at one time, which is a free covariance of observations: it can take "
            "the place of most intrinsic variation, so that the two are not told apart. Use "
            "'diagonal' or 'isotropic', or observe several times.",
        )


def _observations(sections: Sections) -> Iterator[ConfigProblem]:
    observations = sections.observations
    if observations is not None and states_limits(observations):
        yield ConfigProblem(
            ("observations",),
            "states limits, but the probability of censored values is not computed for "
            "'forward.stochastic'; leave the censored values empty, if they are missing by "
            "chance, or let the simulator censor its own answer.",
        )


def _other_parts(sections: Sections) -> Iterator[ConfigProblem]:
    evidence, observations = sections.evidence, sections.observations
    if sections.polish:
        yield from _solver_in_last_step(sections.polish)
    if evidence and evidence.design_counts:
        yield ConfigProblem(
            ("evidence", "design_counts"),
            "compares errors of surrogates by single solves, which a random simulator does not "
            "show; leave it out.",
        )
    if evidence and evidence.system_counts and evidence.through != "solver":
        yield ConfigProblem(
            ("evidence", "through"),
            f"got '{evidence.through}', but new data sets of a random simulator are runs of the "
            "simulator itself; set 'through: solver'.",
        )
    if sections.assessment:
        for i, baseline in enumerate(sections.assessment.baselines):
            if baseline == "two_stage":
                yield ConfigProblem(
                    ("assessment", "baselines", i),
                    "got 'two_stage', which takes the fitted parameters of a system for its true "
                    "ones and the rest for noise, of which intrinsic variation is not a part; "
                    "leave it out.",
                )
    if isinstance(observations, FileObservations) and observations.additions:
        yield ConfigProblem(
            ("observations", "additions"),
            "systems cannot join a study of a random simulator, as the error of its surrogate at "
            "new systems is not measured by single solves; put the rows into the study's own "
            "file, and run it again.",
        )
    for name, method in sections.downstream.asked().items() if sections.downstream else ():
        if reason := method.random_simulators or method.special_systems:
            yield ConfigProblem(
                ("downstream", name),
                f"not for a random simulator ('forward.stochastic'): {reason}; leave it out.",
            )


def _solver_in_last_step(polish: PolishSettings) -> Iterator[ConfigProblem]:
    stated = {
        "solver_seconds": polish.solver_seconds not in (0, PolishSettings().solver_seconds),
        "seconds_per_solve": polish.seconds_per_solve is not None,
    }
    for key in (key for key, given in stated.items() if given):
        yield ConfigProblem(
            ("polish", key),
            f"got {getattr(polish, key):g}, but the last step of the estimate does not use a "
            "random simulator itself: it needs mean and covariance, which a solve does not give. "
            "Leave the key out.",
        )
