"""The stages of a study one after the other, in memory: what the workflow's rules do with files.

Each stage is the function of the same name that the workflow's script calls. A torch function of
one's own needs no surrogate: the estimators then go through the function itself, and there are no
rounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from popinv.api.functions import OwnFunction
from popinv.config.study import Study
from popinv.inference.assessment import Tests
from popinv.inference.build import descent_problem
from popinv.inference.result import no_estimate
from popinv.inference.stages.assess_population import assess_population
from popinv.inference.stages.gather_answer import gather_answer
from popinv.inference.stages.maximise_likelihoods import maximise_likelihoods
from popinv.inference.stages.solve_round import solve_round
from popinv.inference.stages.update_population import update_population
from popinv.judgement.answer import StudyAnswer
from popinv.population.model import Model
from popinv.sections.base import plain
from popinv.surrogate.collect import Thresholds
from popinv.workflow.rounds import counts_of_rounds

Say = Callable[[str], None]
"""Told in words what comes next."""

# Solves of a function that needs no surrogate: they check its derivatives and its failures.
_TRIED = 100
# Sections of a study that every Dataset of a fit keeps.
_KEPT = (
    "forward",
    "law",
    "noise",
    "active_learning",
    "surrogate",
    "descent",
    "estimator",
    "polish",
    "assessment",
)


def is_exact(study: Study) -> bool:
    """Return whether the forward model needs no surrogate."""
    return isinstance(study.forward, OwnFunction) and study.forward.differentiated


def steps(study: Study) -> int:
    """Return how often :func:`run_stages` says what comes next."""
    rounds = 1 if is_exact(study) else 3 * study.active_learning.rounds + 1
    resampled = bool(study.assessment.bootstrap)
    return rounds + 4 + resampled + study.has_sampling_error()


def run_stages(
    study: Study, observations: xr.Dataset, device: str, say: Say, tests: bool = True
) -> tuple[dict[str, xr.Dataset], StudyAnswer]:
    """Run all stages on observations.

    Parameters
    ----------
    device : {"cpu", "auto", "cuda"}
    say : callable
    tests : bool
        False leaves out the tests of law, noise and simulator, and the distance where a likelihood
        is the answer.

    Returns
    -------
    artefacts : dict of str to Dataset
        ``observations``, ``check``, ``estimate_0``, ``estimate_1``, ..., ``distance``,
        ``pseudo_likelihood``, ``likelihood``, ``population`` and, where there are, ``surrogate``,
        ``resamples`` and ``sampling_error``.
    answer : StudyAnswer
    """
    run = _Run(study, observations, device, say)
    if is_exact(study):
        run.without_surrogate()
    else:
        run.rounds()
    run.estimates(tests)
    run.answer()
    return run.artefacts, run.judged(tests)


class _Run:
    """One run of the stages, and what they have made so far."""

    def __init__(self, study: Study, observations: xr.Dataset, device: str, say: Say) -> None:
        self.study, self.device, self.say = study, device, say
        self.seed = int(study.seed or 0)
        self.model = Model(study.forward, study.law, study.noise)
        self.thresholds = Thresholds(**study.surrogate_thresholds())
        config = {name: plain(getattr(study, name)) for name in _KEPT}
        config["thresholds"] = study.surrogate_thresholds()
        self._config = json.dumps(config, sort_keys=True)
        self.artefacts: dict[str, xr.Dataset] = {}
        self.keep("observations", observations, "import_observations")
        self.surrogate: Any = None

    def keep(self, name: str, dataset: xr.Dataset, rule: str) -> xr.Dataset:
        """Keep an artefact, with the attributes that the workflow's stores have."""
        described = dataset.assign_attrs(config=self._config, seed=self.seed, created_by=rule)
        self.artefacts[name] = described
        return described

    def __getitem__(self, name: str) -> xr.Dataset:
        return self.artefacts[name]

    # --- the forward model ----------------------------------------------------------------------

    def without_surrogate(self) -> None:
        """Take the function itself, and estimate the population a first time."""
        study, forward = self.study, self.study.forward
        assert isinstance(forward, OwnFunction)
        self.say("first estimate")
        tried = solve_round(
            forward,
            study.law,
            seed=self.seed,
            round_name="0",
            samples=_TRIED,
            candidates=0,
            failure_budget=study.active_learning.failure_budget,
            chunk_size=study.active_learning.chunk_size,
            observations=self["observations"] if study.has_known() else None,
        )
        self.keep("check", tried, "collect_solves")
        self.surrogate = forward.exact()
        estimate = update_population(
            self.model, self["observations"], self.surrogate, seed=self.seed, round_number=0
        )
        self.keep("estimate_0", estimate, "update_population")

    def rounds(self) -> None:
        """Solve, train and estimate in rounds, and judge the last surrogate on fresh solves."""
        from popinv.inference.stages.run_rounds import run_rounds

        study = self.study
        for made in run_rounds(
            self.model,
            study.surrogate,
            self["observations"],
            seed=self.seed,
            samples=counts_of_rounds(study),
            candidates=study.candidates(),
            known=study.has_known(),
            thresholds=self.thresholds,
            failure_budget=study.active_learning.failure_budget,
            recency_decay=study.active_learning.recency_decay,
            chunk_size=study.active_learning.chunk_size,
            device=self.device,
            say=self.say,
        ):
            if made.estimate is None:
                self.keep("check", made.solves, "collect_solves")
            else:
                self.surrogate = made.surrogate
                self.keep(f"estimate_{made.name}", made.estimate, "update_population")
        self.keep("surrogate", self.surrogate, "train_surrogate")

    # --- the answer -----------------------------------------------------------------------------

    def estimates(self, tests: bool) -> None:
        """Estimate law and noise by both likelihoods and by the descent."""
        study, last = self.study, 0 if is_exact(self.study) else self.study.last_round()
        given = self["observations"], self.surrogate, self[f"estimate_{last}"], self["check"]
        also: Mapping[str, Any] = {"seed": self.seed, "device": self.device}
        self.say("maximising the likelihoods")
        both = maximise_likelihoods(
            self.model,
            study.polish,
            *given,
            likelihood=study.wants_likelihood(),
            seconds_per_solve=study.seconds_per_solve(),
            **also,
        )
        for name, estimate in zip(("pseudo_likelihood", "likelihood"), both, strict=True):
            self.keep(name, estimate, "maximise_likelihoods")
        self.say("descending on the distance")
        answers = study.estimator != "distance" and any(each.attrs["passes"] for each in both)
        if answers and not tests and not study.has_sampling_error():
            problem = descent_problem(self.model, given[0], given[1], self.seed, "descent")
            distance = no_estimate(problem, "it was left out with the tests")
        else:
            # A fit without it does not wait for the import of its compiled functions.
            from popinv.inference.stages.deconvolve import deconvolve

            distance = deconvolve(self.model, study.descent, *given, **also)
        self.keep("distance", distance, "deconvolve")

    def answer(self) -> None:
        """Gather the answer, with its intervals."""
        study, also = self.study, dict[str, Any](seed=self.seed, device=self.device)
        given: dict[str, Any] = {
            "observations": self["observations"],
            "surrogate": self.surrogate,
            **{name: self[name] for name in ("distance", "pseudo_likelihood", "likelihood")},
        }
        if study.assessment.bootstrap:
            from popinv.inference.stages.resample_systems import resample_systems

            self.say("resampling the systems")
            resamples = resample_systems(
                self.model,
                study.descent,
                study.polish,
                study.estimator,
                **given,
                resamples=study.assessment.bootstrap,
                **also,
            )
            self.keep("resamples", resamples, "resample_systems")
        if study.has_sampling_error():
            from popinv.inference.stages.repeat_solves import repeat_solves

            self.say("repeating solves for their sampling error")
            error = repeat_solves(
                study.forward,
                study.law,
                self["observations"],
                self["distance"],
                seed=self.seed,
                repeats=study.assessment.repeats,
                systems=study.assessment.repeated_systems,
            )
            self.keep("sampling_error", error, "repeat_solves")
        self.say("gathering the answer")
        population = gather_answer(
            self.model,
            study.estimator,
            **given,
            resamples=self.artefacts.get("resamples"),
            sampling_error=self.artefacts.get("sampling_error"),
            seed=self.seed,
        )
        self.keep("population", population, "gather_answer")

    def judged(self, tests: bool) -> StudyAnswer:
        """Judge the answer."""
        self.say("testing the answer" if tests else "judging the answer")
        asked: Tests | None = None
        if tests:
            # A fit without them does not wait for their compiled functions.
            from popinv.inference.assessment import answer_tests

            asked = answer_tests
        names = ("observations", "population", "check", "sampling_error")
        return assess_population(
            self.model,
            self.thresholds,
            seed=self.seed,
            null_resamples=self.study.assessment.null_resamples,
            tests=asked,
            surrogate=self.surrogate,
            **{name: self.artefacts[name] for name in names if name in self.artefacts},
        )
