"""Checks on systems with known quantities or replicates, on noise that varies, and on limits.

Some parts of a study do not take these. The message names the part and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from popinv.config.observations import FileObservations, SyntheticObservations
from popinv.config.study_sections import Sections
from popinv.forward.section import ForwardSection
from popinv.population.laws.kinds import LawSection
from popinv.population.model import covariate_names
from popinv.sections.messages import Problem, name_problems

__all__ = ["error_problems", "known_problems", "replicate_problems"]

# Kinds of noise without correlations, whose density of a censored value is known.
_INDEPENDENT = ("isotropic", "diagonal")


def known_problems(
    forward: ForwardSection, law: LawSection, sections: Sections
) -> Iterator[Problem]:
    """Yield known quantities without a distribution, and parts of a study that do not take any."""
    covariates = covariate_names(law, *sections.noises)
    wanted = tuple(dict.fromkeys([*forward.design_names(), *covariates]))
    if isinstance(sections.observations, SyntheticObservations):
        described = "the design and the covariates"
        for problem in name_problems(sections.observations.known, wanted, described):
            yield problem.under("observations", "known")
    if wanted:
        yield from _not_for(sections, f"systems with known quantities ({', '.join(wanted)})")


def replicate_problems(
    observations: SyntheticObservations | FileObservations, sections: Sections
) -> Iterator[Problem]:
    """Yield parts of a study that do not take systems with several replicates."""
    if isinstance(observations, SyntheticObservations):
        several = observations.replicates > 1
    else:
        several = observations.replicated
    if several:
        yield from _not_for(sections, "systems with replicates")


def error_problems(sections: Sections) -> Iterator[Problem]:
    """Yield parts of a study that do not take noise that varies."""
    observations = sections.observations
    if sections.noise_varies:
        yield from _not_for(sections, "noise with 'errors'")
    if observations is not None and observations.censored_below is not None:
        yield from _not_for(sections, "observations that are censored")
        yield from _limits(sections)


def _limits(sections: Sections) -> Iterator[Problem]:
    """Yield limits of quantification that do not fit, and noise that they do not go with."""
    at = ("observations", "censored_below")
    noise, observations = sections.noise, sections.observations
    assert observations is not None
    given = observations.censored_below
    heavy = bool(noise and noise.errors and noise.errors.tails != "gaussian")
    if noise and (heavy or noise.kind not in _INDEPENDENT):
        yield Problem(
            at,
            "values below a limit need independent Gaussian noise, but 'noise' is of kind "
            f"'{noise.kind}'{' with heavy tails' if heavy else ''}; choose 'isotropic' or "
            "'diagonal' with 'errors.tails: gaussian', or leave the values empty.",
        )
    if sections.forward is None:
        return
    described = sections.forward.observed(0)
    if isinstance(given, list) and len(given) != len(described):
        yield Problem(
            at,
            f"got {len(given)} numbers, but there are {len(described)} observations of each "
            "system; give one for each, or one number.",
        )
    lowest = min(given) if isinstance(given, list) else given
    if described.logarithm and lowest is not None and lowest <= 0:
        yield Problem(at, "a limit must be positive, as logarithms are observed.")


def _not_for(sections: Sections, what: str) -> Iterator[Problem]:
    """Yield methods that a study asks for and that do not take its systems."""
    for method, asked in sections.downstream or ():
        if asked is not None and asked.special_systems:
            yield Problem(
                ("downstream", method), f"not for {what}: {asked.special_systems}; leave it out."
            )
