"""What a study has, and the refusals of parts of it that do not take that.

The reasons are those of :data:`popinv.sections.refusals.REFUSED` and of the records of the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from popinv.config.observations import (
    FileObservations,
    SyntheticObservations,
    known_quantities,
    states_noise_scales,
    states_replicates,
)
from popinv.config.study import Study
from popinv.config.study_sections import Sections
from popinv.errors import ConfigError
from popinv.forward.executable.section import Executable
from popinv.forward.python.section import PythonFunction
from popinv.forward.section import ForwardSection
from popinv.inference.estimators.settings import PolishSettings, wants_likelihood
from popinv.methods.registry import METHODS
from popinv.observation_files.limit_keys import states_limits
from popinv.population.noise.discrepancy_section import SharedProcess
from popinv.population.noise.section import NoiseSection
from popinv.sections.messages import ConfigProblem, Path, shown
from popinv.sections.refusals import REFUSED

# Kinds of noise without correlations.
_INDEPENDENT = ("isotropic", "diagonal")


@dataclass(frozen=True)
class Trait:
    """Something that a study may have.

    Parameters
    ----------
    words : str
        What the study has, after "not for"; braces stand for what is given.
    key : str
        The key that states it.
    sections : str
        The sections that it depends on, of which none may be at fault.
    check : callable
        Returns of these sections what is given, or something false.
    instead : str
        What to do if a method does not take it.
    """

    words: str
    key: str
    sections: str
    check: Callable[..., Any]
    instead: str = "leave it out"

    def given(self, study: Sections | Study) -> Any:
        """Return what is given of it, or something false if a study does not have it."""
        parts = [getattr(study, name) for name in self.sections.split()]
        return all(part is not None for part in parts) and self.check(*parts)


def traits(study: Sections) -> frozenset[str]:
    """Return the names of what a study has."""
    return frozenset(name for name, trait in TRAITS.items() if trait.given(study))


@cache
def refused() -> Mapping[tuple[str, str], str]:
    """Return why a part of a study does not take a trait, by both, also for all methods.

    Raises
    ------
    ConfigError
        If a method refuses something that is no trait.
    """
    found = dict(REFUSED)
    for name, method in METHODS.items():
        for trait, reason in method.refuses.items():
            if trait not in TRAITS:
                raise ConfigError(
                    f"the method '{name}' of {method.package} refuses '{trait}', which is no trait "
                    f"of a study; the traits are {', '.join(TRAITS)}"
                )
            found[f"downstream.{name}", trait] = f"{reason}; {TRAITS[trait].instead}"
    return found


def refusals(study: Sections | Study, has: Collection[str]) -> Iterator[ConfigProblem]:
    """Yield each part of a study that does not take what the study has, with the reason.

    Parameters
    ----------
    has : collection of str
        Names of traits, some of which are seen in the data alone.
    """
    for (part, trait), reason in refused().items():
        if trait in has:
            for path, got in _places(study, part, has):
                words = TRAITS[trait].words
                words = words.format(TRAITS[trait].given(study)) if "{" in words else words
                yield ConfigProblem(path, f"{got}not for {words}: {reason}.")


def _places(study: Sections | Study, part: str, has: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield where a study states a part, and what is given there."""
    key, _, wanted = (TRAITS[part].key if part in TRAITS else part).partition(": ")
    path = tuple(key.split("."))
    value: Any = study
    for name in path:
        value = getattr(value, name, None)
    if wanted and isinstance(value, list):
        stated: list[tuple[Path, Any]] = [
            ((*path, i), each) for i, each in enumerate(value) if each == wanted
        ]
    elif part in TRAITS:
        stated = [(path, value)] * (part in has)
    else:
        stated = [(path, value)] * (value == wanted if wanted else bool(value))
    for place, given in stated:
        told = f"'{given}'" if isinstance(given, str) else shown(given)
        yield place, f"got {told}, which is " if isinstance(given, str | int | float) else ""


def _known(*stated: Any) -> str:
    return ", ".join(known_quantities(*stated))


def _priors(law: Any, noise: NoiseSection) -> str:
    stated = {"law": law, "noise": noise}
    return " and ".join(f"'{key}.prior'" for key, each in stated.items() if each.prior is not None)


def _varies(noise: NoiseSection) -> bool:
    return noise.errors is not None and noise.errors.vary


def _unrestricted(most: int) -> Callable[..., Any]:
    """Return a check for noise of every covariance, of more than so many observations."""
    return lambda noise, forward: (
        noise.unrestricted and forward.observation_count() > most and noise.kind
    )


def _exact(surrogate: Any, forward: ForwardSection) -> bool:
    """Return whether the simulator has no surrogate; a random one needs one for other reasons."""
    return surrogate.kind == "none" and not forward.is_random()


def _needs_surrogate(surrogate: Any, forward: ForwardSection) -> Any:
    timed = forward.timed_inputs() is not None
    if isinstance(forward, PythonFunction):
        # Differences take the place of derivatives where a surrogate cannot be.
        fits = forward.differentiated or (forward.derivatives is None and timed)
    else:
        fits = isinstance(forward, Executable) and timed
    return _exact(surrogate, forward) and not fits and forward.kind


def _unsummarised(forward: ForwardSection) -> bool:
    timed = forward.timed_inputs()
    return timed is not None and timed.needs_solver() and not forward.may_be_exact


def _own_places(forward: ForwardSection) -> bool:
    return forward.observed(0).own_sensors


def _drawn_places(forward: ForwardSection) -> bool:
    placement = getattr(getattr(forward, "sensors", None), "placement", None)
    return placement == "random" and not _own_places(forward)


_KIND_OF_NOISE = "noise of kind '{}'"
_KIND_OF_LAW = "a law of kind '{}'"
_OTHER_NOISE = "leave it out, or choose another noise"
_NETWORK = "leave it out, or use 'surrogate: {kind: network}'"

TRAITS: Mapping[str, Trait] = {
    "levels": Trait("a law with 'levels'", "law.levels", "law", lambda law: law.level_names()),
    "crossed levels": Trait(
        "crossed levels", "law.crossed", "law", lambda law: law.level_columns().crossed
    ),
    "law without a density": Trait(
        _KIND_OF_LAW, "law.kind", "law", lambda law: not law.has_density and law.kind
    ),
    "law without means": Trait(
        _KIND_OF_LAW, "law.kind", "law", lambda law: not law.has_means and law.kind
    ),
    "free form": Trait(
        _KIND_OF_LAW, "law.kind", "law", lambda law: law.kind == "free_form" and law.kind
    ),
    "free shape": Trait(
        _KIND_OF_LAW,
        "law.kind",
        "law",
        lambda law: law.kind in ("free_form", "mixture") and law.kind,
    ),
    "priors": Trait("priors ({})", "law.prior", "law noise", _priors, "leave one of the two out"),
    "known quantities": Trait(
        "systems with known quantities ({})", "forward.design", "forward law noises", _known
    ),
    "inputs over time": Trait(
        "systems with inputs over time ('forward.inputs')",
        "forward.inputs",
        "forward",
        lambda forward: forward.timed_inputs() is not None,
    ),
    "inputs without a summary": Trait(
        "inputs over time without a summary", "forward.inputs", "forward", _unsummarised
    ),
    "one time": Trait(
        "observations of '{}' that are no time series",
        "forward.observations",
        "forward",
        lambda forward: (forward.time_count() or 1) < 2 and forward.kind,
        "leave it out, or observe at several times",
    ),
    "several quantities": Trait(
        "observations of several quantities",
        "forward.observations",
        "forward",
        lambda forward: len(set(forward.observed(0).labels)) > 1,
    ),
    "own places": Trait(
        "sensors at places of each system's own ('forward.design')",
        "forward.design",
        "forward",
        _own_places,
    ),
    "own places in the plane": Trait(
        "sensors in the plane at places of each system's own ('forward.design')",
        "forward.design",
        "forward",
        lambda forward: _own_places(forward) and getattr(forward, "dimension", 1) > 1,
    ),
    "drawn places": Trait("sensors at random", "forward.sensors", "forward", _drawn_places),
    "random simulator": Trait(
        "a random simulator ('forward.stochastic')",
        "forward.stochastic",
        "forward",
        lambda forward: forward.is_random(),
    ),
    "sampling error": Trait(
        "a forward model whose solves have a sampling error",
        "forward.kind",
        "forward",
        lambda forward: forward.has_sampling_error() and not forward.is_random(),
    ),
    "file": Trait(
        "observations of a file ('{}')",
        "observations.file",
        "observations",
        lambda seen: isinstance(seen, FileObservations) and seen.file,
    ),
    "synthetic population": Trait(
        "a synthetic population",
        "observations.truth",
        "observations",
        lambda seen: isinstance(seen, SyntheticObservations),
    ),
    "replicates": Trait(
        "systems with replicates", "observations.replicates", "observations", states_replicates
    ),
    "noise scales": Trait(
        "systems with noise scales", "observations.noise_scale", "observations", states_noise_scales
    ),
    # They are seen in the data.
    "gaps": Trait("systems with gaps", "observations.file", "observations", lambda seen: False),
    "limits": Trait(
        "observations that are censored", "observations", "observations", states_limits
    ),
    "errors": Trait("noise with 'errors'", "noise.errors", "noise", _varies),
    "noise that varies": Trait(
        "noise with 'errors'", "noise.errors", "noises", lambda noises: any(map(_varies, noises))
    ),
    "noise covariates": Trait(
        "noise with covariates",
        "noise.errors.covariates",
        "noise",
        lambda noise: noise.covariate_names(),
    ),
    "heavy tails of correlated noise": Trait(
        "correlated noise with heavy tails",
        "noise.errors.tails",
        "noise",
        lambda noise: (
            noise.kind not in _INDEPENDENT and noise.errors and noise.errors.tails != "gaussian"
        ),
    ),
    "unrestricted noise": Trait(
        _KIND_OF_NOISE,
        "noise.kind",
        "noise",
        lambda noise: noise.unrestricted and noise.kind,
        _OTHER_NOISE,
    ),
    **{
        f"unrestricted noise of over {most} observations": Trait(
            f"{_KIND_OF_NOISE} of more than {most} observations",
            "noise.kind",
            "noise forward",
            _unrestricted(most),
            _OTHER_NOISE,
        )
        for most in (10, 20)
    },
    "noise with its own step": Trait(
        _KIND_OF_NOISE,
        "noise.kind",
        "noise",
        lambda noise: noise.unrestricted and not _varies(noise) and noise.kind,
    ),
    "channels at one time": Trait(
        "noise of channels at one time",
        "noise.kind",
        "noise forward",
        lambda noise, forward: noise.kind == "channels" and forward.time_count() in (None, 1),
    ),
    "discrepancy": Trait(
        "noise with a 'discrepancy'",
        "noise.discrepancy",
        "noises",
        lambda noises: any(noise.discrepancy is not None for noise in noises),
    ),
    "fitted discrepancy": Trait(
        "noise with a 'discrepancy'",
        "noise.discrepancy",
        "noise",
        lambda noise: noise.discrepancy is not None,
    ),
    "smooth discrepancy": Trait(
        "a discrepancy that is a process",
        "noise.discrepancy.shared",
        "noise",
        lambda noise: isinstance(getattr(noise.discrepancy, "shared", None), SharedProcess),
    ),
    "own discrepancy with replicates": Trait(
        "'noise.discrepancy.own' with replicates",
        "noise.discrepancy.own",
        "noise observations",
        lambda noise, seen: getattr(noise.discrepancy, "own", None) and states_replicates(seen),
    ),
    "estimator without likelihood": Trait(
        "the estimator '{}'",
        "estimator",
        "estimator",
        lambda estimator: not wants_likelihood(estimator) and estimator,
    ),
    "restricted likelihood": Trait(
        "the restricted likelihood ('polish.restricted')",
        "polish.restricted",
        "polish",
        lambda polish: polish.restricted,
        "leave one of the two out",
    ),
    "solver in the last step": Trait(
        "the solver in the last step",
        "polish.solver_seconds",
        "polish",
        lambda polish: polish.solver_seconds not in (0, PolishSettings().solver_seconds),
    ),
    # Without a surrogate there are no rounds.
    "one round": Trait(
        "one round",
        "active_learning.rounds",
        "active_learning surrogate",
        lambda learning, surrogate: learning.rounds < 2 and surrogate.kind != "none",
    ),
    "no surrogate": Trait(
        "a study without a surrogate", "surrogate.kind", "surrogate forward", _exact, _NETWORK
    ),
    "simulator that needs a surrogate": Trait(
        "this forward model of kind '{}'", "forward.kind", "surrogate forward", _needs_surrogate
    ),
    "Gaussian process": Trait(
        "a surrogate that is a Gaussian process",
        "surrogate.kind",
        "surrogate",
        lambda surrogate: surrogate.kind == "gaussian_process",
        _NETWORK,
    ),
    "data sets of the surrogate": Trait(
        "data sets of the surrogate",
        "evidence.through",
        "evidence",
        lambda evidence: evidence.system_counts and evidence.through != "solver",
    ),
}
"""What a study may have, by name; methods name these in their records."""
