"""The stages of a study one after the other, in memory: what the workflow's rules do with files.

:mod:`popinv.workflow.stages` states the stages, their order and their arguments. A user's torch
function needs no surrogate: the estimators evaluate the function itself, and there are no rounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import xarray as xr

from popinv.api.functions import OwnFunction
from popinv.config.study import Study
from popinv.inference.answer.result import no_estimate
from popinv.inference.density.build import descent_problem
from popinv.judgement.answer import StudyAnswer
from popinv.population.model import Model
from popinv.sections.base import plain
from popinv.surrogate.artefact import surrogate_of
from popinv.workflow.run import StudyRun, function_of
from popinv.workflow.stages import STAGES, call_of

Say = Callable[[str], None]
"""Called with the name of the next step."""

# Solves of a function that needs no surrogate: they check its derivatives and its failures.
_TRIED = 100
# Sections of a study that every Dataset of a fit keeps.
_KEPT = (
    "forward",
    "law",
    "noise",
    "observations",
    "active_learning",
    "surrogate",
    "descent",
    "estimator",
    "polish",
    "assessment",
)
# Outputs of the workflow whose artefact has another name, which other stages use for their input.
_ARTEFACTS = {"descent": "distance"}


def is_exact(study: Study) -> bool:
    """Return whether the forward model needs no surrogate."""
    return isinstance(study.forward, OwnFunction) and study.forward.is_exact()


def steps(study: Study) -> int:
    """Return how often :func:`run_stages` announces a step."""
    rounds = 1 if is_exact(study) else 3 * study.active_learning.rounds + 1
    return rounds + len(list(_after_the_rounds(study)))


def _after_the_rounds(study: Study) -> Iterator[str]:
    """Yield the stages from the estimates to the assessment, in their order."""
    return (name for name, stage in STAGES.items() if stage.announced and stage.jobs(study))


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
        ``pseudo_likelihood``, ``likelihood``, ``population`` and, where there are, ``surrogate``
        and ``sampling_error``.
    answer : StudyAnswer
    """
    run = _Fit(study, observations, device, say)
    if is_exact(study):
        run.without_surrogate()
    else:
        run.rounds()
    return run.kept, run.answer(tests)


class _Fit:
    """One run of the stages, and their results so far."""

    def __init__(self, study: Study, observations: xr.Dataset, device: str, say: Say) -> None:
        self.study, self.say, self.kept = study, say, dict[str, xr.Dataset]()
        config = {name: plain(getattr(study, name)) for name in _KEPT}
        config["thresholds"] = study.surrogate_thresholds()
        self._config = json.dumps(config, sort_keys=True)
        self._of_observations = json.dumps(
            config | {"observations": plain(study.observations)}, sort_keys=True
        )
        sections = {name: getattr(study, name) for name in _KEPT}
        # The arguments of the stages, with the last estimate and a surrogate that is no Dataset.
        self.given: dict[str, Any] = {}
        self.run = StudyRun(sections, self.given, int(study.seed or 0), device)
        self.keep("observations", observations, "import_observations")

    def keep(self, name: str, dataset: xr.Dataset, rule: str) -> xr.Dataset:
        """Keep an artefact, with the attributes that the workflow's stores have."""
        # New systems are read as the study's own were.
        config = self._of_observations if name == "observations" else self._config
        described = dataset.assign_attrs(config=config, seed=self.run.seed, created_by=rule)
        self.kept[name] = self.given[name] = described
        return described

    def keep_estimate(self, name: str, estimate: xr.Dataset) -> None:
        """Keep the estimate of a round, the last one so far."""
        self.given["estimate"] = self.keep(f"estimate_{name}", estimate, "update_population")

    # --- the forward model ----------------------------------------------------------------------

    def without_surrogate(self) -> None:
        """Take the function itself, and estimate the population a first time."""
        from popinv.inference.stages.run_rounds import solve_round
        from popinv.inference.stages.update_population import update_population

        study, forward = self.study, self.study.forward
        assert isinstance(forward, OwnFunction)
        self.say("first estimate")
        tried = solve_round(
            forward,
            study.law,
            seed=self.run.seed,
            round_name="0",
            samples=_TRIED,
            candidates=0,
            failure_budget=study.active_learning.failure_budget,
            chunk_size=study.active_learning.chunk_size,
            observations=self.kept["observations"] if study.has_known() else None,
        )
        self.keep("check", tried, "collect_solves")
        self.given["surrogate"] = forward.exact()
        self.keep_estimate("0", self.run.call(update_population, round_number=0))

    def rounds(self) -> None:
        """Solve, train and estimate in rounds, and judge the last surrogate on fresh solves."""
        from popinv.inference.stages.run_rounds import run_rounds

        size, surrogate = self.study.active_learning.chunk_size, None
        options = STAGES["run_rounds"].options_of(self.study, {})
        for made in self.run.call(run_rounds, chunk_size=size, say=self.say, **options):
            if made.estimate is None:
                self.keep("check", made.solves, "collect_solves")
            else:
                surrogate = made.surrogate
                self.keep_estimate(made.name, made.estimate)
        assert surrogate is not None
        self.keep("surrogate", surrogate, "train_surrogate")

    # --- the answer -----------------------------------------------------------------------------

    def answer(self, tests: bool) -> StudyAnswer:
        """Estimate law and noise, gather the answer and judge it."""
        answer: StudyAnswer | None = None
        for name in _after_the_rounds(self.study):
            stage, call = STAGES[name], call_of(name)
            of_tests = name == "assess_population"
            self.say("judging the answer" if of_tests and not tests else stage.announced)
            if name == "deconvolve" and not tests and self._needs_no_distance():
                made: Any = self._no_distance()
            else:
                # It is imported now: a fit does not wait for the stages that it leaves out.
                function = function_of(call["function"])
                options = stage.options_of(self.study, {})
                made = self.run.call(function, tests=tests, **options)
            if isinstance(made, StudyAnswer):
                answer = made
                continue
            datasets = made if isinstance(made, tuple) else (made,)
            for output, dataset in zip(stage.returns, datasets, strict=True):
                self.keep(_ARTEFACTS.get(output, output), dataset, name)
        assert answer is not None
        return answer

    def _needs_no_distance(self) -> bool:
        """Return whether a likelihood is the answer, and nothing else needs the distance."""
        likelihoods = self.kept["pseudo_likelihood"], self.kept["likelihood"]
        passes = any(each.attrs["passes"] for each in likelihoods)
        sampled = self.study.has_sampling_error()
        return self.study.estimator != "distance" and passes and not sampled

    def _no_distance(self) -> xr.Dataset:
        model, through = Model.of(self.run.study), surrogate_of(self.given["surrogate"])
        observations, seed = self.kept["observations"], self.run.seed
        problem = descent_problem(model, observations, through, seed, "descent")
        return no_estimate(problem, "it was left out with the tests")
