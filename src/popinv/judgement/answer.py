"""The record of a study's answer.

A study writes :class:`StudyAnswer` as ``answer.json``. All code that shows, judges or compares
answers reads this record. ``metrics.json``, beside it, has the same numbers as a flat table for
programs of the user: :meth:`StudyAnswer.metrics` writes it, and popinv does not read it again.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Literal

from popinv.errors import spanned
from popinv.judgement.measures import (
    FeatureTest,
    HeldOutDistance,
    IntrinsicVariation,
    LeastNoise,
    PartTest,
    SamplingErrorShare,
    SimulatorDiscrepancy,
    SolverCosts,
    SurrogateError,
    TruthErrors,
    WeakestDirection,
)

_PREFIXES = {"law": "alpha", "noise": "noise"}


@dataclass(frozen=True)
class ObservedSizes:
    """The amount of observed data.

    Attributes
    ----------
    observations, fewest_observations : int
        Number of observations of the system with most, and with fewest; of groups, of the members.
    varying_parameters : int
        Parameters that differ between systems.
    members, fewest_members : int
        Members of the largest and of the smallest system, if systems are groups; 1 otherwise.
    """

    systems: int
    observations: int
    fewest_observations: int
    varying_parameters: int
    members: int = 1
    fewest_members: int = 1

    @property
    def in_words(self) -> str:
        """The systems, or groups and their members, with the observations of each."""
        many = "observation" if self.observations == 1 else "observations"
        each = f"{self.observations_each} {many} each"
        if self.members == 1:
            return f"{self.systems_counted} with {each}"
        members = spanned(self.fewest_members, self.members)
        return f"{self.systems_counted} of {members} members with {each}"

    @property
    def systems_counted(self) -> str:
        """The number of systems, or of groups: "1 group", "12 systems"."""
        called = "system" if self.members == 1 else "group"
        return f"{self.systems} {called}{'' if self.systems == 1 else 's'}"

    @property
    def observations_each(self) -> str:
        """The observations of a system: "6", or "1 to 6" where systems differ."""
        return spanned(self.fewest_observations, self.observations)


@dataclass(frozen=True)
class RecoveredParameter:
    """A recovered number and its truth.

    Attributes
    ----------
    lower, upper : float or None
        Ends of the 95 % interval; None where the data determine no end.
    true : float or None
        None if it is not known.
    unit : str
        The unit, or "1" without a unit.
    scale : {"", "log", "logit"}
        The scale of the parameter on which this is a number.
    determined : bool
        Whether the data determine it.
    """

    kind: Literal["law", "noise"]
    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    true: float | None = None
    unit: str = "1"
    scale: str = ""
    description: str = ""
    determined: bool = True

    @property
    def units(self) -> str:
        """The unit in a table: empty if there is none."""
        return f"{self.scale} scale" if self.scale else self.unit if self.unit != "1" else ""

    @property
    def interval(self) -> str:
        """Return the interval in words; empty without one."""
        if not self.determined:
            return "not determined"
        if self.lower is None and self.upper is None:
            return ""
        if self.lower is None:
            return f"up to {self.upper:.4g}"
        return f"{self.lower:.4g} " + ("or more" if self.upper is None else f"to {self.upper:.4g}")

    @property
    def error(self) -> float | None:
        """Half the width of the interval, or None."""
        if self.lower is None or self.upper is None:
            return None
        return (self.upper - self.lower) / 2

    @property
    def holds(self) -> bool | None:
        """Return whether the interval holds the truth; None if one of the two is not known."""
        if self.lower is None or self.upper is None or self.true is None:
            return None
        return self.lower <= self.true <= self.upper


@dataclass(frozen=True)
class EstimatorValue:
    """The estimate of one parameter by one estimator, and its standard error if it has one."""

    estimator: str
    value: float
    standard_error: float | None = None


@dataclass(frozen=True)
class ParameterEstimate:
    """A parameter of the search for the answer.

    Attributes
    ----------
    own : RecoveredParameter
        Its natural value.
    label : str
        Its name, which no other parameter of law or noise has.
    predicted_error : float
        Standard error that mean, covariance and third moments of the observations allow.
    median : RecoveredParameter or None
        The number that users read in place of the mean of a logarithm or logit.
    standard_error, model_error, robust_error : float or None
        Standard error of the answer, by the inverse information, and by the sandwich; of the
        logarithm of a positive parameter. None if it was held, or is not determined.
    efficiency : float or None
        The standard error over its bound.
    boundary : {"", "zero", "infinity", "one", "minus one"}
        The boundary at which its maximum lies, if any.
    by_estimator : tuple of EstimatorValue
    """

    own: RecoveredParameter
    label: str
    predicted_error: float
    median: RecoveredParameter | None = None
    standard_error: float | None = None
    model_error: float | None = None
    robust_error: float | None = None
    efficiency: float | None = None
    boundary: str = ""
    by_estimator: tuple[EstimatorValue, ...] = ()


@dataclass(frozen=True)
class EstimatorChoice:
    """The estimator of the answer.

    Attributes
    ----------
    through : {"solver", "surrogate"}
    arrived : bool
        Whether its search has converged.
    bound : str
        The estimator whose standard errors bound the others.
    agreement : str
        A comparison of the estimators in words.
    agreement_p_value : float or None
        p-value of Hausman's test; None if the estimators could not be compared.
    errors_by : {"", "model", "robust"}
        The kind of the standard errors, where both are known.
    undetermined : tuple of str
        Parameters that the data do not determine.
    doubt : str
        What the estimate leaves open, or "".
    """

    estimator: str
    reason: str
    through: str
    arrived: bool
    bound: str
    agreement: str
    agreement_p_value: float | None = None
    errors_by: str = ""
    undetermined: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class DescentArrival:
    """Whether the descent has converged, and the largest remaining distance in standard errors."""

    arrived: bool
    remaining: float


@dataclass(frozen=True)
class LikelihoodValue:
    """The log likelihood at the answer, the error of its draws, and the criteria that follow.

    If it is ``restricted``, the law's means are integrated, and the estimate is by restricted
    maximum likelihood.
    """

    value: float
    error: float | None = None
    aic: float | None = None
    bic: float | None = None
    restricted: bool = False


@dataclass(frozen=True)
class StudyAnswer:
    """The result of a study, and the numbers that judge it.

    Attributes
    ----------
    estimates : tuple of ParameterEstimate
        Estimates of the law's parameters, then of the noise's.
    summaries : tuple of RecoveredParameter
        Moments, quantiles and correlations of a law whose coefficients have no meaning.
    combinations : tuple of RecoveredParameter
        Determined combinations of parameters that the data do not determine.
    features : tuple of FeatureTest
        The tests behind ``tests``.
    prior : tuple of str
        The priors that the study states, each in words.
    """

    sizes: ObservedSizes
    choice: EstimatorChoice
    estimates: tuple[ParameterEstimate, ...]
    solves: SolverCosts
    weakest: WeakestDirection
    summaries: tuple[RecoveredParameter, ...] = ()
    combinations: tuple[RecoveredParameter, ...] = ()
    descent: DescentArrival | None = None
    likelihood: LikelihoodValue | None = None
    surrogate: SurrogateError | None = None
    surrogate_coverage: float | None = None
    least_noise: LeastNoise | None = None
    truth: TruthErrors | None = None
    sampling_error: SamplingErrorShare | None = None
    intrinsic: IntrinsicVariation | None = None
    tests: tuple[PartTest, ...] = ()
    features: tuple[FeatureTest, ...] = ()
    heldout: HeldOutDistance | None = None
    prior: tuple[str, ...] = ()
    discrepancy: SimulatorDiscrepancy | None = None

    @property
    def parameters(self) -> tuple[RecoveredParameter, ...]:
        """The recovered parameters as users read them, law before noise.

        The median of a parameter takes the place of the mean of its logarithm, or logit.
        """
        law = [each.median or each.own for each in self.estimates if each.own.kind == "law"]
        noise = [each.own for each in self.estimates if each.own.kind == "noise"]
        return (*law, *self.summaries, *self.combinations, *noise)

    def contents(self) -> tuple[str, str]:
        """Return the contents of ``answer.json`` and ``metrics.json``."""
        return self.to_json(), self.metrics_json()

    def to_json(self) -> str:
        """Return the content of ``answer.json``."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def metrics_json(self) -> str:
        """Return the content of ``metrics.json``."""
        return json.dumps(self.metrics(), indent=2) + "\n"

    def metrics(self) -> dict[str, float | int | str]:
        """Return the flat table of ``metrics.json``; docs/results.md explains each entry."""
        numbers: dict[str, float | int | str | None] = {
            "systems": self.sizes.systems,
            "observations_per_system": self.sizes.observations,
            "prior": "; ".join(self.prior) or None,
        }
        for each in self.estimates:
            key = _key(each)
            numbers |= _with_ends(key, each.own)
            numbers[f"{key}_predicted_error"] = each.predicted_error
        medians = [each.median for each in self.estimates if each.median]
        for read in medians:
            numbers |= _summary(read)
        numbers["undetermined"] = ", ".join(self.choice.undetermined) or "none"
        for read in self.combinations:
            numbers |= _with_ends(f"combination_{read.name}", read)
        for read in self.summaries:
            numbers |= _summary(read)
        numbers |= self._estimators()
        numbers |= self._surrogate_and_noise()
        numbers |= {} if self.discrepancy is None else self.discrepancy.numbers()
        numbers |= self._truth()
        numbers |= self._tests()
        numbers |= {
            "solver_calls": self.solves.calls,
            "solver_failures": self.solves.failures,
            "solver_failure_reasons": self.solves.reasons or "none",
            "rounds_solved": self.solves.rounds,
            "identifiability_warning": self.weakest.warning or "none",
            "identifiability_by": self.weakest.by,
            "weakest_direction": self.weakest.direction,
            "weakest_direction_error": self.weakest.error,
        }
        own = [each.own for each in self.estimates]
        law = [(each.own, each.median) for each in self.estimates if each.own.kind == "law"]
        told = [p for pair in law for p in pair if p] + [*self.summaries, *own[len(law) :]]
        numbers |= {f"units_{p.kind}_{p.name}": p.units for p in told if p.units}
        return {name: value for name, value in numbers.items() if value is not None}

    def _estimators(self) -> dict[str, float | int | str | None]:
        choice, descent, likelihood = self.choice, self.descent, self.likelihood
        numbers: dict[str, float | int | str | None] = {
            "estimator": choice.estimator,
            "estimator_reason": choice.reason,
            "through": choice.through,
            "estimator_arrived": int(choice.arrived),
            "estimator_doubt": choice.doubt or None,
            "efficiency_bound": choice.bound,
            "agreement": choice.agreement,
        }
        if descent is not None:
            numbers["descent_arrived"] = int(descent.arrived)
            numbers["descent_remaining"] = descent.remaining
        numbers["agreement_p_value"] = choice.agreement_p_value
        if likelihood is not None:
            numbers["log_likelihood"] = likelihood.value
            numbers["log_likelihood_error"] = likelihood.error
            numbers["aic"], numbers["bic"] = likelihood.aic, likelihood.bic
            numbers["restricted"] = 1 if likelihood.restricted else None
        numbers["standard_errors_by"] = choice.errors_by or None
        for each in self.estimates:
            numbers[f"standard_error_{each.label}"] = each.standard_error
            numbers[f"model_standard_error_{each.label}"] = each.model_error
            numbers[f"robust_standard_error_{each.label}"] = each.robust_error
            numbers[f"efficiency_{each.label}"] = each.efficiency
            for other in each.by_estimator:
                numbers[f"{other.estimator}_{each.label}"] = other.value
                error = other.standard_error
                numbers[f"{other.estimator}_{each.label}_standard_error"] = error
        return numbers | {f"boundary_{e.label}": e.boundary or None for e in self.estimates}

    def _surrogate_and_noise(self) -> dict[str, float | int | str | None]:
        numbers: dict[str, float | int | str | None] = {}
        if (surrogate := self.surrogate) is not None:
            numbers |= {
                "surrogate_whitened_rmse": surrogate.rmse,
                "surrogate_threshold": surrogate.threshold,
                "surrogate_push": surrogate.push,
                "surrogate_push_threshold": surrogate.push_threshold,
                "surrogate_good_enough": int(surrogate.good_enough),
            }
        numbers["surrogate_interval_coverage"] = self.surrogate_coverage
        numbers["fewest_observations_of_a_system"] = self.sizes.fewest_observations
        numbers["varying_parameters"] = self.sizes.varying_parameters
        if self.least_noise is not None:
            numbers["noise_least_share"] = self.least_noise.share
            numbers["noise_least_share_at"] = self.least_noise.observation
            numbers["noise_share_beside_own_discrepancy"] = self.least_noise.beside_own
        return numbers

    def _truth(self) -> dict[str, float | int | str | None]:
        numbers: dict[str, float | int | str | None] = {
            f"{_PREFIXES[p.kind]}_true_{p.name}": p.true for p in (e.own for e in self.estimates)
        }
        if (errors := self.truth) is not None:
            numbers |= {
                "alpha_relative_error_max": errors.law_largest,
                "alpha_relative_error_rms": errors.law_rms,
                "noise_covariance_relative_frobenius_error": errors.noise,
                "alpha_oracle_relative_error_rms": errors.law_oracle,
                "alpha_error_to_oracle": errors.law_to_oracle,
                "noise_oracle_relative_frobenius_error": errors.noise_oracle,
                "noise_error_to_oracle": errors.noise_to_oracle,
            }
        if (intrinsic := self.intrinsic) is not None:
            numbers |= {
                "intrinsic_share": intrinsic.share,
                "intrinsic_repeated_to_learned": intrinsic.repeated_to_learned,
                "intrinsic_repeated_to_learned_error": intrinsic.ratio_error,
                "intrinsic_least_noise": intrinsic.least_noise,
                "intrinsic_lost_information": intrinsic.lost,
            }
        if (sampling := self.sampling_error) is not None:
            numbers |= {
                "sampling_error_share": sampling.share,
                "sampling_error_taken_off": int(sampling.taken_off),
                "noise_plus_sampling_relative_frobenius_error": sampling.error_of_sum,
            }
        return numbers

    def _tests(self) -> dict[str, float | int | str | None]:
        numbers: dict[str, float | int | str | None] = {}
        for test in self.tests:
            key = f"{test.part}_misfit"
            if test.not_judged:
                numbers[key] = f"not judged: {test.not_judged}"
                continue
            numbers[key] = test.finding or "none seen"
            numbers[f"{key}_p_value"] = test.p_value
            numbers[f"{key}_tests"] = test.tests
            numbers[f"{key}_unseen"] = "; ".join(test.unseen) or "none"
        for feature in self.features:
            key = f"misfit_{feature.name}"
            numbers[key] = feature.value
            numbers[f"{key}_error"] = feature.error
            numbers[f"{key}_large"] = feature.large
            numbers[f"{key}_p_value"] = feature.p_value
        if self.heldout is not None:
            numbers["heldout_energy_distance"] = self.heldout.distance
            numbers["heldout_energy_null_95"] = self.heldout.null_95
            numbers["heldout_p_value"] = self.heldout.p_value
        return numbers


def finite(value: float | None) -> float | None:
    """Return a number, or None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def _key(estimate: ParameterEstimate) -> str:
    return f"{_PREFIXES[estimate.own.kind]}_{estimate.own.name}"


def _summary(p: RecoveredParameter) -> dict[str, float | None]:
    return _with_ends(f"summary_{p.name}", p) | {f"summary_true_{p.name}": p.true}


def _with_ends(key: str, p: RecoveredParameter) -> dict[str, float | None]:
    return {key: p.value, f"{key}_lower": p.lower, f"{key}_upper": p.upper}
