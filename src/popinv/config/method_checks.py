"""What the downstream methods that a study asks for demand of its other sections, and of its data.

Problems have paths that begin at the section ``downstream``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popinv.config.downstream import StudyDownstream
from popinv.config.forward import ForwardSection
from popinv.config.messages import Problem
from popinv.config.observations import FileObservations, SyntheticObservations

__all__ = ["method_problems", "size_problems", "trait_problems"]

# Fresh solves that selecting samples needs: half are the target.
_FEWEST_FRESH = 20
# Held-out systems that the scale of a read-out needs: it comes from half of them.
_FEWEST_HELDOUT = 8
# Parameters of a field that are the law's own, not a standard normal number of each system.
_WITHOUT_NUMBER = {"matern_field": 1, "level_set_field": 2}


def method_problems(downstream: StudyDownstream, sections: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between the methods and the study's sections.

    Parameters
    ----------
    downstream : StudyDownstream
    sections : mapping
        The validated sections of the study by name, None for one that is itself at fault.
    """
    forward, law, noise, surrogate, observations, assessment = (
        sections[name]
        for name in ("forward", "law", "noise", "surrogate", "observations", "assessment")
    )
    if noise and noise.kind == "full":
        yield from _full_noise(downstream)
    if forward and downstream.bigram and (forward.time_count() or 1) < 2:
        yield Problem(
            ("bigram",),
            "asked for, but it reads time series, and the observations of "
            f"'{getattr(forward, 'kind', 'this forward model')}' as configured are none; leave it "
            "out, or observe at several times.",
        )
    if forward and law and downstream.mwgrad:
        numbers = len(forward.parameter_names()) - _WITHOUT_NUMBER.get(law.kind, 0)
        if downstream.mwgrad.particles < 2 * numbers:
            yield Problem(
                ("mwgrad", "particles"),
                f"got {downstream.mwgrad.particles}, but it must be at least {2 * numbers}: twice "
                f"the {numbers} standard normal numbers of the law.",
            )
    if surrogate and downstream.analog:
        # A Fourier neural operator lifts by one and projects by two, beside those of its layers.
        fourier = surrogate.network == "fno"
        layers = surrogate.fourier_layers + 3 if fourier else surrogate.depth + 1
        if downstream.analog.layers > layers:
            yield Problem(
                ("analog", "layers"),
                f"got {downstream.analog.layers}, but the surrogate has {layers} dense layers.",
            )
    if assessment and downstream.influence and assessment.surrogate_check < _FEWEST_FRESH:
        yield Problem(
            ("influence",),
            f"asked for, but assessment.surrogate_check is {assessment.surrogate_check}: its fresh "
            f"solves are the target and the judge, and at least {_FEWEST_FRESH} are needed.",
        )
    if isinstance(observations, SyntheticObservations):
        yield from trait_problems(downstream, observations.noise_scale is not None)
        yield from size_problems(downstream, forward, observations.count, observations.heldout)
    if isinstance(observations, FileObservations):
        yield from trait_problems(downstream, observations.noise_scale_column is not None)


def _full_noise(downstream: StudyDownstream) -> Iterator[Problem]:
    for method, why in (
        ("instance_unlearning", "whose randomness is no gradient's"),
        ("sgd_dynamics", "which have no plain gradient"),
    ):
        if getattr(downstream, method):
            yield Problem(
                (method,),
                f"asked for, but noise of kind 'full' moves by steps of its own, {why}; leave it "
                "out, or choose another noise.",
            )


def trait_problems(downstream: StudyDownstream, traits: bool) -> Iterator[Problem]:
    """Yield the method that systems with noise scales or gaps, if there are any, rule out."""
    if traits and downstream.instance_unlearning:
        yield Problem(
            ("instance_unlearning",),
            "asked for, but where systems have noise scales or gaps, the model's draws change with "
            "every system that is left out; leave it out.",
        )


def size_problems(
    downstream: StudyDownstream, forward: ForwardSection | None, systems: int, heldout: int
) -> Iterator[Problem]:
    """Yield what does not fit the number of systems.

    Parameters
    ----------
    downstream : StudyDownstream
    forward : ForwardSection or None
        None if it is itself at fault.
    systems, heldout : int
        Systems to learn from, and held out.
    """
    for method in ("mwgrad", "certified_unlearning"):
        asked = getattr(downstream, method)
        if not asked:
            continue
        if len(set(asked.systems)) != len(asked.systems):
            yield Problem(
                (method, "systems"), f"got {asked.systems}, but each system is named once."
            )
        if max(asked.systems) >= systems:
            yield Problem(
                (method, "systems"),
                f"got {max(asked.systems)}, but the {systems} systems to learn from have the "
                f"numbers from 0 to {systems - 1}.",
            )
    if downstream.certified_unlearning and heldout < _FEWEST_HELDOUT:
        yield Problem(
            ("certified_unlearning",),
            "asked for, but the scale comes from half of the held-out systems, and there are "
            f"{heldout}; set aside at least {_FEWEST_HELDOUT}.",
        )
    vectors = systems * ((forward.time_count() if forward else None) or 0)
    if downstream.bigram and 0 < vectors <= downstream.bigram.vocabulary:
        yield Problem(
            ("bigram", "vocabulary"),
            f"got {downstream.bigram.vocabulary}, but the {systems} systems to learn from are "
            f"{vectors} observed vectors, too few for so many symbols.",
        )
