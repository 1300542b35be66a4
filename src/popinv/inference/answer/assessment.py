"""The record of a study's answer, gathered from its artefacts, and the tests of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from popinv.forward.datasets import observation_names, place_coordinates, replicates_of
from popinv.inference.answer.law_summary import law_summary
from popinv.inference.answer.result import (
    law_errors,
    ratio,
    relative_frobenius_error,
    root_mean_square,
)
from popinv.inference.answer.stated_values import read_names, read_values, stated_entries
from popinv.inference.checks.folds import folds_of
from popinv.inference.checks.heldout_test import heldout_test, tested_systems
from popinv.inference.checks.intrinsic_share import intrinsic_variation
from popinv.inference.checks.model_comparison import counted_parameters, information_criteria
from popinv.inference.checks.noise_share import least_noise
from popinv.inference.checks.specification import specification_tests
from popinv.inference.checks.surrogate_intervals import held_out_solves
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.uncertainty.intervals import boundaries
from popinv.inference.uncertainty.sampling_error import sampling_error_share
from popinv.inference.uncertainty.standard_errors import by_information
from popinv.inference.uncertainty.surrogate_bias import AnswerShift, FreshSolves
from popinv.judgement.answer import (
    DescentArrival,
    EstimatorChoice,
    EstimatorValue,
    LikelihoodValue,
    ObservedSizes,
    ParameterEstimate,
    RecoveredParameter,
    StudyAnswer,
    finite,
)
from popinv.judgement.measures import (
    FeatureTest,
    HeldOutDistance,
    PartTest,
    SamplingErrorShare,
    SimulatorDiscrepancy,
    SolverCosts,
    SurrogateError,
    TruthErrors,
    WeakestDirection,
)
from popinv.population.model import Model
from popinv.population.units import (
    Described,
    covariate_centres,
    law_parameters,
    noise_parameters,
)
from popinv.surrogate.collect import Thresholds, failure_counts
from popinv.surrogate.simulator import is_exact


def answer_tests(
    problem: Problem,
    loaded: Mapping[str, xr.Dataset],
    null_resamples: int,
    solver: Callable[[], SolverSimulator] | None = None,
) -> AnswerTests:
    """Return the tests; the arguments are as in :func:`popinv.inference.answer.assessment.assess`.

    Held-out systems are tested if score tests do not judge law, noise and simulator. ``solver`` is
    as in :func:`popinv.inference.checks.specification.specification_tests`.
    """
    observations = loaded["observations"]
    parts, features = specification_tests(
        problem, loaded["population"], observations, loaded["check"], solver
    )
    judged = not any(part.not_judged for part in parts)
    if judged or folds_of(observations) or not observations.sizes["heldout_system"]:
        return AnswerTests(parts, features)
    model, heldout, conditions = tested_systems(problem, loaded)
    test = heldout_test(model, heldout, null_resamples, conditions)
    return AnswerTests(parts, features, HeldOutDistance(test.statistic, test.null_95, test.p_value))


Kind = Literal["law", "noise"]


@dataclass(frozen=True)
class AnswerTests:
    """The tests of law, noise and simulator; they are empty if the answer was not tested."""

    tests: tuple[PartTest, ...] = ()
    features: tuple[FeatureTest, ...] = ()
    heldout: HeldOutDistance | None = None


Tests = Callable[[Problem, Mapping[str, xr.Dataset], int], AnswerTests]


def assess(
    problem: Problem,
    loaded: Mapping[str, xr.Dataset],
    null_resamples: int,
    thresholds: Thresholds,
    tests: Tests | None = None,
    model: Model | None = None,
) -> StudyAnswer:
    """Return the record of a study's answer.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``; and optionally ``sampling_error``,
        ``truth``, ``noise_known`` and ``law_known``.
    null_resamples : int
        Number of resamples of the null distribution of the discrepancy.
    tests : callable, optional
        The tests of law, noise and simulator,
        :func:`popinv.inference.answer.assessment.answer_tests`.
    model : Model, optional
        Its sections hold the units of the parameters.
    """
    population, check = loaded["population"], loaded["check"]
    recovered = _Recovered(problem, population, loaded.get("truth"), model, loaded["observations"])
    held_out = held_out_solves(problem, check)
    sizes, least = problem.at_all_places, least_noise(problem, population, loaded["observations"])
    results = AnswerTests() if tests is None else tests(problem, loaded, null_resamples)
    return StudyAnswer(
        sizes=ObservedSizes(
            len(problem.data),
            int(_counts(problem).max()),
            int(_counts(sizes).min()),
            sizes.law.d_omega if sizes.members == 1 else int(sizes.law.varying[: sizes.d_z].sum()),
            sizes.members,
            int(sizes.present_members.sum(axis=1).min()),
        ),
        choice=_choice(problem, population),
        estimates=tuple(recovered.estimates()),
        summaries=tuple(recovered.summaries()),
        combinations=tuple(recovered.combinations()),
        descent=_descent(population),
        likelihood=_likelihood(problem, population),
        surrogate=None if is_exact(problem.simulate) else _surrogate(population, check, thresholds),
        surrogate_coverage=None if held_out is None else held_out.coverage,
        least_noise=least,
        truth=_truth_errors(problem, loaded) if "truth" in loaded else None,
        sampling_error=_sampling_error(problem, loaded),
        intrinsic=intrinsic_variation(problem, population, FreshSolves.of_last_round(check)),
        tests=results.tests,
        features=results.features,
        heldout=results.heldout,
        solves=SolverCosts(
            int(check["solver_calls"].sum()),
            int(check["solver_failures"].sum()),
            failure_counts(check),
            int(np.sum(check["solver_calls"].values[:-1] > 0)),
        ),
        weakest=_weakest(population),
        prior=problem.stated_prior.words,
        discrepancy=_discrepancy(population, loaded["observations"]),
    )


class _Recovered:
    """The recovered parameters, with their names as users read them."""

    def __init__(
        self,
        problem: Problem,
        population: xr.Dataset,
        truth: xr.Dataset | None,
        model: Model | None,
        observations: xr.Dataset,
    ) -> None:
        self.problem, self.population, self.truth = problem, population, truth
        law, noise = problem.law, problem.noise
        self.read = read_names(law)
        self.undetermined = tuple(json.loads(population.attrs["undetermined"]))
        self.summary_names = (
            [str(name) for name in population["law_summary"].values]
            if "summary" in population
            else []
        )
        self.described: dict[Kind, dict[str, Described]] = {"law": {}, "noise": {}}
        if model is not None:
            named = (*np.array(self.read)[stated_entries(law)].tolist(), *self.summary_names)
            self.described["law"] = law_parameters(model, named, covariate_centres(observations))
            self.described["noise"] = noise_parameters(model, noise.names)

    def number(
        self,
        kind: Kind,
        name: str,
        ends: tuple[float, float | None, float | None],
        true: float | None = None,
    ) -> RecoveredParameter:
        """Return a recovered number, for its value and the ends of its interval."""
        told = self.described[kind].get(name, Described("1", ""))
        return RecoveredParameter(
            *(kind, name, *ends, true, told.units, told.scale, told.long_name),
            determined=name not in self.undetermined,
        )

    def estimates(self) -> Iterator[ParameterEstimate]:
        """Yield the parameters of the search that have a meaning of their own."""
        population, problem = self.population, self.problem
        stated = stated_entries(problem.law)
        medians = self._medians() | {p.name: p for p in self._law_summaries()}
        labels = [name.replace(" ", "_") for name in population["estimated"].values]
        errors = np.sqrt(np.diag(population["covariance"].values))
        kinds = {
            kind: np.sqrt(np.maximum(np.diag(population[f"{kind}_covariance"].values), 0.0))
            for kind in ("model", "robust")
            if f"{kind}_covariance" in population
        }
        natural = [_natural(problem, row) for row in population["estimates"].values]
        with np.errstate(divide="ignore", invalid="ignore"):
            efficiency = errors / population["bound"].values
        at = boundaries(population)
        unknown = np.isin([*self.read, *problem.noise.names], self.undetermined)
        for i, own in enumerate(self._own()):
            if i < len(stated) and not stated[i]:
                continue
            known = errors[i] > 0 and not unknown[i]
            own_errors = {kind: float(each[i]) for kind, each in kinds.items()} if known else {}
            kind: Kind = "law" if i < len(stated) else "noise"
            row = i if kind == "law" else i - len(stated)
            yield ParameterEstimate(
                own,
                labels[i],
                float(population[f"{kind}_predicted_error"].values[row]),
                median=medians.get(self._median_of(i)) if kind == "law" else None,
                standard_error=float(errors[i]) if known else None,
                model_error=own_errors.get("model"),
                robust_error=own_errors.get("robust"),
                efficiency=finite(efficiency[i]) if known else None,
                boundary=at.get(i, ""),
                by_estimator=tuple(self._by_estimator(i, natural)) if known else (),
            )

    def summaries(self) -> list[RecoveredParameter]:
        """Return the summaries that do not replace a mean."""
        places = {self._median_of(i) for i in range(len(self.read))}
        return [each for each in self._law_summaries() if each.name not in places]

    def combinations(self) -> list[RecoveredParameter]:
        """Return the determined combinations of parameters that are not determined."""
        found = json.loads(self.population.attrs["determined_combinations"])
        return [
            self.number("law", each["name"], (each["value"], each["lower"], each["upper"]))
            for each in found
        ]

    def _own(self) -> Iterator[RecoveredParameter]:
        """Yield the natural values of all parameters of the search."""
        kinds: tuple[Kind, ...] = ("law", "noise")
        for kind in kinds:
            dim, truth = f"{kind}_parameter", self.truth
            names = self.population[dim].values
            # A truth of another family has no values for this family's parameters.
            same = truth is not None and np.array_equal(truth[dim], names)
            for row, name in enumerate(names):
                value, lower, upper = (
                    float(self.population[f"{kind}{end}"].values[row])
                    for end in ("", "_lower", "_upper")
                )
                true = float(truth[kind].values[row]) if same and truth is not None else None
                # JSON has no infinity. An end that the data do not determine is left out.
                yield self.number(kind, str(name), (value, finite(lower), finite(upper)), true)

    def _median_of(self, entry: int) -> str:
        """Return the name of the median that users read in place of an entry of the law, if any."""
        law = self.problem.law
        if entry in law.medians:
            return self.read[entry]
        of_means = {f"{name}_mean": f"{name}_median" for name in self._owners()}
        return of_means.get(law.names[entry], "")

    def _owners(self) -> tuple[str, ...]:
        return self.problem.law.parameters if self.summary_names else ()

    def _medians(self) -> dict[str, RecoveredParameter]:
        """Return the medians that users read in place of means, by name."""
        law, found = self.problem.law, {}
        value, lower, upper = (
            read_values(law, self.population[f"law{end}"].values)
            for end in ("", "_lower", "_upper")
        )
        true = None if self.truth is None else read_values(law, self.truth["law"].values)
        for i in law.medians:
            if np.isfinite(value[i]):
                ends = float(value[i]), finite(lower[i]), finite(upper[i])
                of_truth = None if true is None else float(true[i])
                found[self.read[i]] = self.number("law", self.read[i], ends, of_truth)
        return found

    def _law_summaries(self) -> list[RecoveredParameter]:
        """Return moments, quantiles and correlations of the law."""
        names = self.summary_names
        if not names:
            return []
        values, lower, upper = (
            self.population[f"summary{end}"].values.tolist() for end in ("", "_lower", "_upper")
        )
        true: list[float | None] = [None] * len(names)
        if self.truth is not None:
            true = law_summary(self.problem.law, self.truth["alpha"].values).values.tolist()
        rows = zip(names, values, lower, upper, true, strict=True)
        return [self.number("law", name, (v, low, up), t) for name, v, low, up, t in rows]

    def _by_estimator(self, i: int, natural: list[np.ndarray]) -> Iterator[EstimatorValue]:
        errors = self.population["estimate_errors"].values
        for row, estimator in enumerate(self.population["estimator"].values):
            if (value := finite(natural[row][i])) is not None:
                yield EstimatorValue(str(estimator), value, finite(errors[row, i]))


def _counts(problem: Problem) -> np.ndarray:
    """Return the number of observations of each system, or of each observed member of a group."""
    each = problem.conditions.present.reshape(len(problem.data), problem.members, -1).sum(axis=2)
    return np.asarray(each[problem.present_members])


def _natural(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return natural values; an unrestricted covariance stays as it is."""
    if problem.noise.unrestricted or not np.isfinite(p).all():
        return p
    return problem.natural(p)


def _choice(problem: Problem, population: xr.Dataset) -> EstimatorChoice:
    """Return the chosen estimator, and how it compares with the others."""
    attrs, p_value = population.attrs, population.attrs.get("agreement_p_value")
    both = any(f"{kind}_covariance" in population for kind in ("model", "robust"))
    return EstimatorChoice(
        str(attrs["estimator"]),
        str(attrs["estimator_reason"]),
        str(attrs["through"]),
        bool(attrs["arrived"]),
        str(population["bound"].attrs["of"]),
        str(attrs["agreement"]),
        None if p_value is None else float(p_value),
        ("model" if by_information(problem) else "robust") if both else "",
        tuple(json.loads(attrs["undetermined"])),
        str(attrs.get("doubt", "")),
    )


def _descent(population: xr.Dataset) -> DescentArrival | None:
    attrs = population.attrs
    if "descent_arrived" not in attrs:
        return None
    return DescentArrival(bool(attrs["descent_arrived"]), float(attrs["descent_remaining"]))


def _likelihood(problem: Problem, population: xr.Dataset) -> LikelihoodValue | None:
    if "log_likelihood" not in population:
        return None
    value = float(population["log_likelihood"].sum())
    restricted = "restriction" in population.attrs
    value -= float(population.attrs.get("restriction", 0.0))
    if "value_error" not in population.attrs:
        return LikelihoodValue(value, restricted=restricted)
    counted = counted_parameters(problem, population["bread"].values)
    criteria = information_criteria(value, counted, problem.units)
    error = float(population.attrs["value_error"])
    return LikelihoodValue(value, error, *criteria, restricted=restricted)


def _surrogate(population: xr.Dataset, check: xr.Dataset, thresholds: Thresholds) -> SurrogateError:
    """Return the error of the surrogate and its effect on the answer."""
    shift = AnswerShift.of(population)
    error, push = float(check["surrogate_error"].values[-1]), shift.largest
    if shift.treatment == "unmeasured":
        push = np.nan
    good_enough = error < thresholds.error and not push >= thresholds.push
    return SurrogateError(
        error, thresholds.error, push, thresholds.push, good_enough, shift.treatment
    )


def _discrepancy(population: xr.Dataset, observations: xr.Dataset) -> SimulatorDiscrepancy | None:
    """Return the discrepancy of the simulator in the answer, if its noise has one."""
    if "discrepancy" not in population:
        return None

    def values(end: str) -> tuple[float, ...]:
        return tuple(population[f"discrepancy{end}"].values.tolist())

    names = population["noise_parameter"].values.tolist()
    size, length = names.index("discrepancy_amplitude"), "discrepancy_length"
    lower, upper = (
        finite(float(population[f"noise{end}"].values[size])) for end in ("_lower", "_upper")
    )
    return SimulatorDiscrepancy(
        places=tuple(
            [f"x = {place:.3g}" for place in population["knot"].values]
            if "knot" in population.coords
            else _places(observations)
        ),
        values=values(""),
        lower=values("_lower"),
        upper=values("_upper"),
        joint_lower=values("_joint_lower"),
        joint_upper=values("_joint_upper"),
        units=str(observations["y"].attrs.get("units", "1")),
        size=float(population["noise"].values[size]),
        size_lower=lower,
        size_upper=upper,
        determined=float(population["discrepancy_determined"].mean()),
        gain=finite(float(population.attrs["discrepancy_gain"])),
        confounded=json.loads(population.attrs["discrepancy_confounded"]),
        length=float(population["noise"].values[names.index(length)]) if length in names else None,
        length_limit=int(population.attrs["discrepancy_length_limit"]),
    )


def _places(observations: xr.Dataset) -> list[str]:
    """Return the observations of one replicate in words, such as ``t = 0.5``."""
    width = observations.sizes["observation"] // replicates_of(observations)
    columns = {name: observations[name].values[:width] for name in place_coordinates(observations)}
    if not columns:
        return observation_names(observations)[:width]
    rows = zip(*columns.values(), strict=True)
    names = [name.removeprefix("observation_") for name in columns]
    return [
        ", ".join(f"{name} = {value:g}" for name, value in zip(names, row, strict=True))
        for row in rows
    ]


def _truth_errors(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> TruthErrors:
    """Return the errors of the answer and of the available oracles against the truth."""
    stated, truth = stated_entries(problem.law), loaded["truth"]

    def of_law(answer: xr.Dataset) -> np.ndarray:
        return law_errors(answer["law"].values[stated], truth["law"].values[stated])

    def of_noise(answer: xr.Dataset) -> float:
        true = truth["noise_covariance"].values
        return relative_frobenius_error(answer["noise_covariance"].values, true)

    errors, noise = of_law(loaded["population"]), of_noise(loaded["population"])
    rms, known = root_mean_square(errors), dict[str, float]()
    if "noise_known" in loaded:
        known["law_oracle"] = root_mean_square(of_law(loaded["noise_known"]))
        known["law_to_oracle"] = ratio(rms, known["law_oracle"])
    if "law_known" in loaded:
        known["noise_oracle"] = of_noise(loaded["law_known"])
        known["noise_to_oracle"] = ratio(noise, known["noise_oracle"])
    return TruthErrors(float(errors.max()), rms, noise, **known)


def _sampling_error(
    problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> SamplingErrorShare | None:
    """Return the share of a sampling error that was counted as noise."""
    if "sampling_error" not in loaded or problem.noise.intrinsic:
        return None
    population = loaded["population"]
    return sampling_error_share(
        population["noise_covariance"].values,
        population["sampling_error_covariance"].values,
        loaded["truth"]["noise_covariance"].values if "truth" in loaded else None,
        problem.conditions.mean_square_scale,
        taken_off=population.attrs["through"] == "solver" or "correction" in population,
    )


def _weakest(population: xr.Dataset) -> WeakestDirection:
    attrs = population.attrs
    warning = str(attrs["identifiability_warning"])
    return WeakestDirection(
        "" if warning == "none" else warning,
        str(attrs["identifiability_by"]),
        str(attrs["weakest_direction"]),
        float(attrs["weakest_direction_error"]),
    )
