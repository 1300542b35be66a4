"""Checks on a study whose simulator errs: what the key ``noise.discrepancy`` does not go with.

The message names the part and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popinv.config.observations import (
    FileObservations,
    states_noise_scales,
    states_replicates,
)
from popinv.config.study_sections import Sections
from popinv.forward.section import ForwardSection
from popinv.inference.settings import wants_likelihood
from popinv.observation_files.limit_keys import states_limits
from popinv.population.noise.discrepancy_section import Discrepancy, SharedProcess, own_sensors
from popinv.population.noise.section import NoiseSection
from popinv.sections.messages import ConfigProblem

# The place of the key in a study.
_AT = ("noise", "discrepancy")
# The kernels whose process a spline through knots gives.
SMOOTH = ("matern52", "squared_exponential")


def discrepancy_problems(study: Mapping[str, Any], sections: Sections) -> Iterator[ConfigProblem]:
    """Yield the parts of a study that do not take a discrepancy of the simulator."""
    noise = sections.noise
    if not any(each.discrepancy is not None for each in sections.noises):
        return
    if noise is not None and noise.discrepancy is not None:
        yield from _of_noise(noise, sections.forward)
        yield from _of_law(sections)
        yield from _of_own(noise, sections)
        yield from _of_computations(study, sections)
    for method, asked in sections.downstream or ():
        if asked is not None and asked.discrepancy:
            text = f"not for noise with a 'discrepancy': {asked.discrepancy}; leave it out."
            yield ConfigProblem(("downstream", method), text)


def _of_noise(noise: NoiseSection, forward: ForwardSection | None) -> Iterator[ConfigProblem]:
    if noise.unrestricted:
        yield ConfigProblem(
            _AT,
            f"noise of kind '{noise.kind}' has every covariance, so that no part of it could be "
            "called a discrepancy, and it moves by a step of its own. Choose 'kernel', "
            "'autoregressive', 'diagonal' or 'isotropic'.",
        )
    if forward is None:
        return
    if len(set(forward.observed(0).labels)) > 1:
        yield ConfigProblem(
            _AT,
            "the observations are of several quantities, and a discrepancy has one amplitude for "
            "all of them, in one unit. Observe one quantity, or leave it out.",
        )
    if own_sensors(forward):
        yield from _of_own_sensors(noise.discrepancy, forward)


def _of_own_sensors(
    discrepancy: Discrepancy | None, forward: ForwardSection
) -> Iterator[ConfigProblem]:
    """Yield what sensors at places of each system's own do not allow."""
    assert discrepancy is not None
    where = "each system has sensors at places of its own ('forward.design')"
    if discrepancy.own is not None:
        yield ConfigProblem(
            (*_AT, "own"),
            f"not where {where}: its covariance would differ from system to system; leave it out.",
        )
    if discrepancy.shared == "free":
        yield ConfigProblem(
            (*_AT, "shared"),
            f"got 'free', but {where}, so that no two observations share a value of the "
            "discrepancy; choose a smooth one, 'shared: {kernel: matern52}'.",
        )
    if not isinstance(discrepancy.shared, SharedProcess):
        return
    if discrepancy.shared.kernel not in SMOOTH:
        yield ConfigProblem(
            (*_AT, "shared", "kernel"),
            f"got '{discrepancy.shared.kernel}', but {where}, and its process is too rough to be "
            f"interpolated from knots; choose {' or '.join(map(repr, SMOOTH))}.",
        )
    if getattr(forward, "dimension", 1) > 1:
        yield ConfigProblem(
            (*_AT, "shared"),
            f"{where} in the plane, but the discrepancy is interpolated along a line alone; set "
            "'forward.dimension: 1', or leave it out.",
        )


def _of_law(sections: Sections) -> Iterator[ConfigProblem]:
    law = sections.law
    if law is None:
        return
    if law.level_names():
        yield ConfigProblem(
            _AT,
            "not for a law with 'levels': the integrals of a group do not take the mean of the "
            "noise; leave one of the two out.",
        )
    if law.kind in ("free_form", "mixture"):
        yield ConfigProblem(
            _AT,
            f"not for a law of kind '{law.kind}': a free shape of the law takes up a part of the "
            "discrepancy, and what the observations determine is not tested. Choose a normal, "
            "lognormal or transformed_normal law, or a random field.",
        )


def _of_own(noise: NoiseSection, sections: Sections) -> Iterator[ConfigProblem]:
    assert noise.discrepancy is not None
    if noise.discrepancy.own is None:
        return
    at, observations = (*_AT, "own"), sections.observations
    if noise.errors and noise.errors.vary:
        yield ConfigProblem(
            at,
            "not with noise that has 'errors': the discrepancy of a system would grow with the "
            "noise of the measurement; leave one of the two out.",
        )
    if observations is None:
        return
    if states_limits(observations):
        yield ConfigProblem(
            at,
            "not with censored observations, whose probability is computed for the noise of the "
            "measurement alone; leave one of the two out.",
        )
    if states_noise_scales(observations):
        yield ConfigProblem(
            at,
            "not with noise scales, which multiply the noise of the measurement and not the "
            "discrepancy; leave one of the two out.",
        )
    asked = sections.downstream and sections.downstream.posterior  # type: ignore[attr-defined]
    if asked and states_replicates(observations):
        yield ConfigProblem(
            ("downstream", "posterior"),
            "not for 'noise.discrepancy.own' with replicates, which share the discrepancy of a "
            "system, while predictions draw each measurement anew; leave one of the two out.",
        )


def _of_computations(study: Mapping[str, Any], sections: Sections) -> Iterator[ConfigProblem]:
    estimator = study.get("estimator", "auto")
    if isinstance(estimator, str) and estimator == "distance":
        yield ConfigProblem(
            ("estimator",),
            "got 'distance', which cannot determine the size of a discrepancy; use 'auto', "
            "'pseudo_likelihood' or 'likelihood'.",
        )
    if sections.polish and sections.polish.restricted and wants_likelihood(str(estimator)):
        yield ConfigProblem(
            ("polish", "restricted"),
            "got true, but the means of the law are not told apart from a discrepancy by the data "
            "alone, so that they cannot be integrated without a prior; leave the key out.",
        )
    assessment, evidence = sections.assessment, sections.evidence
    if assessment and assessment.baselines:
        yield ConfigProblem(
            ("assessment", "baselines"),
            "the other methods have no discrepancy of the simulator, so that the comparison would "
            "be of two models; leave it out.",
        )
    if evidence and (evidence.system_counts or evidence.design_counts or evidence.calibration):
        yield ConfigProblem(
            ("evidence",),
            "not for noise with a 'discrepancy': each data set would need a new discrepancy; leave "
            "it out ('python -m benchmarks.discrepancy' measures the coverage).",
        )
    observations = sections.observations
    if isinstance(observations, FileObservations) and observations.additions:
        yield ConfigProblem(
            ("observations", "additions"),
            "systems cannot join a study whose noise has a 'discrepancy', since the size of the "
            "discrepancy would have to be determined anew. Put all systems into one file.",
        )
