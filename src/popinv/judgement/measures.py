"""The numbers that judge an answer: errors, tests and costs.

They are parts of the record of a study, :class:`popinv.judgement.answer.StudyAnswer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["law", "noise", "simulator"]

MOVES = "which moves"
"""Words in a finding before the parameter that it moves most, and by how many standard errors."""
SurrogateTreatment = Literal["corrected", "runs", "included", "unused", "unmeasured", "left"]
"""The surrogate's error has been subtracted from the answer, by solves or by the runs of a random
simulator, or is included in its intervals; the answer uses no surrogate; single solves of a random
simulator do not measure the effect on systems with replicates; or nothing has been done."""

_TREATMENTS: dict[SurrogateTreatment, str] = {
    "corrected": "The surrogate's error changed the answer by {}. It has been subtracted, and the "
    "intervals include what is uncertain of it.",
    "runs": "Fresh runs with noise show how the error of the learned answer moves the estimate: by "
    "{} more than their randomness explains. It has been subtracted, and the intervals include "
    "the randomness.",
    "included": "The surrogate's error may have changed the answer by {}, one standard deviation. "
    "Nothing is subtracted, and the intervals include it.",
    "unused": "The surrogate's error would move the answer by {}. The answer uses the forward "
    "model itself.",
    "unmeasured": "Systems have replicates, and single solves of a random simulator do not measure "
    "how the surrogate's error changes the answer. The intervals do not include it.",
    "left": "The surrogate's error changes the answer by {}. Nothing is subtracted, and the "
    "intervals do not include it.",
}


@dataclass(frozen=True)
class SurrogateError:
    """The error of the surrogate on fresh solves, and the study's limits.

    Attributes
    ----------
    rmse, threshold : float
        In standard deviations of the noise. NaN if no fresh solve succeeded.
    push, push_threshold : float
        Shift of the answer due to the error, and its limit, in standard errors.
    treatment : str
        The treatment of this shift.
    """

    rmse: float
    threshold: float
    push: float
    push_threshold: float
    good_enough: bool
    treatment: SurrogateTreatment = "corrected"

    @property
    def statement(self) -> str:
        """The effect of the error on the answer, and its treatment."""
        return surrogate_statement(self.push, self.treatment)


@dataclass(frozen=True)
class LeastNoise:
    """The smallest noise as a share of the spread of its observation over the systems.

    Attributes
    ----------
    beside_own : float or None
        Smallest share of the standard deviation of the measurement's noise in that of the noise and
        the discrepancy of each system together, if only the kernel tells the two apart.
    """

    share: float
    observation: str
    beside_own: float | None = None


@dataclass(frozen=True)
class TruthErrors:
    """Errors of the answer, and of oracles that know the noise or the law, against a truth.

    Attributes
    ----------
    law_largest, law_rms : float
        Relative, or absolute where the truth is below 0.1.
    noise : float
        Relative error of the covariance in the Frobenius norm.
    law_oracle, law_to_oracle, noise_oracle, noise_to_oracle : float or None
        The error of the oracle, and the answer's error divided by it.
    """

    law_largest: float
    law_rms: float
    noise: float
    law_oracle: float | None = None
    law_to_oracle: float | None = None
    noise_oracle: float | None = None
    noise_to_oracle: float | None = None


@dataclass(frozen=True)
class IntrinsicVariation:
    """The variation of a random simulator's answer beside the measurement noise.

    Attributes
    ----------
    share : float
        Mean share of the variance of variation and noise together.
    repeated_to_learned : float or None
        The variance of repeated solves, divided by the learned one.
    ratio_error : float or None
        Standard error of this ratio.
    least_noise : float
        The smallest variance of the noise of an observation, as a share of its variation; the
        largest, if observations share the parameters of their noise.
    hides_noise : bool
        Whether this noise is smaller than the error of the variation.
    lost : float or None
        Largest share of the information about the mean of an observation that skewness given z
        takes from a normal density.
    """

    share: float
    repeated_to_learned: float | None
    ratio_error: float | None
    least_noise: float
    hides_noise: bool
    lost: float | None = None


@dataclass(frozen=True)
class SamplingErrorShare:
    """The sampling error of a stochastic model, as a share of the variance beside the signal.

    Attributes
    ----------
    taken_off : bool
        Whether the recovered noise is the noise of the measurements alone.
    error_of_sum : float or None
        Error of the recovered noise against the sum of true noise and sampling error.
    """

    share: float
    taken_off: bool
    error_of_sum: float | None = None


@dataclass(frozen=True)
class PartTest:
    """The tests of law, noise or simulator together.

    Attributes
    ----------
    not_judged : str
        The reason why it was not tested. The other entries are then not known.
    finding : str
        The mistake that the tests found, with its size and the next larger model, or empty.
    p_value : float or None
        The smallest of the part's tests, adjusted for the number of tests of all parts.
    unseen : tuple of str
        Mistakes that would hardly be seen, even if they were large.
    """

    part: Part
    not_judged: str = ""
    finding: str = ""
    p_value: float | None = None
    tests: int = 0
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureTest:
    """The estimate of a parameter of a larger model; it is zero in the fitted model.

    Attributes
    ----------
    large : float
        The smallest size that matters to a user.
    p_value : float
        Adjusted for the number of tests.
    """

    name: str
    value: float
    error: float
    large: float
    p_value: float


@dataclass(frozen=True)
class HeldOutDistance:
    """Energy distance of held-out systems to draws of the model.

    Attributes
    ----------
    null_95 : float
        95 % quantile of the distance of draws of the model.
    p_value : float or None
        None or NaN if the test has no result.
    """

    distance: float
    null_95: float
    p_value: float | None


@dataclass(frozen=True)
class SolverCosts:
    """Calls of the forward model.

    Attributes
    ----------
    reasons : str
        Reasons of the failures with their counts; empty without failures.
    rounds : int
        Number of rounds with solves.
    """

    calls: int
    failures: int
    reasons: str
    rounds: int


@dataclass(frozen=True)
class WeakestDirection:
    """The combination of parameters that the data determine least.

    Attributes
    ----------
    warning : str
        The directions that the data do not determine; empty if the data determine every parameter.
    by : str
        The statistics whose standard errors are judged.
    error : float
        Its standard error, in units of the first design's spread.
    """

    warning: str
    by: str
    direction: str
    error: float


@dataclass(frozen=True)
class SimulatorDiscrepancy:
    """The error of the simulator that is the same in all systems.

    Attributes
    ----------
    places : tuple of str
        The observations, as users read them.
    values, lower, upper, joint_lower, joint_upper : tuple of float
        One for each observation: the estimate, and the ends of its interval and of the joint band.
    units : str
        The unit of the observations.
    size, size_lower, size_upper : float
        The amplitude of the discrepancy, and the ends of its interval.
    determined : float
        Mean share of the prior variance that the observations remove, given the amplitude.
    gain : float or None
        The log evidence of the discrepancy above that of none.
    confounded : mapping of str to float
        Parameters of the law whose change looks like a discrepancy, with the ratio of their
        standard errors without any prior of the discrepancy and with a known one.
    length : float or None
        The length of the kernel, if it has one.
    length_limit : int
        1 if it is the largest that is allowed, -1 if the smallest, else 0.
    """

    places: tuple[str, ...]
    values: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    joint_lower: tuple[float, ...]
    joint_upper: tuple[float, ...]
    units: str
    size: float
    size_lower: float | None
    size_upper: float | None
    determined: float
    gain: float | None
    confounded: dict[str, float]
    length: float | None = None
    length_limit: int = 0

    def numbers(self) -> dict[str, float | int | str | None]:
        """Return the entries of ``metrics.json``."""
        found: dict[str, float | int | str | None] = {
            "discrepancy_amplitude": self.size,
            "discrepancy_amplitude_lower": self.size_lower,
            "discrepancy_amplitude_upper": self.size_upper,
            "discrepancy_determined": self.determined,
            "discrepancy_gain": self.gain,
            "discrepancy_seen": len(self.seen),
            "discrepancy_length": self.length,
            "discrepancy_length_limit": self.length_limit,
        }
        for end in ("", "_lower", "_upper", "_joint_lower", "_joint_upper"):
            each = getattr(self, end.removeprefix("_") or "values")
            found |= {f"discrepancy_{i + 1}{end}": value for i, value in enumerate(each)}
        widened = self.confounded.items()
        return found | {f"discrepancy_widens_{name}": ratio for name, ratio in widened}

    @property
    def names(self) -> frozenset[str]:
        """The names of the values among the parameters of the noise."""
        return frozenset(f"discrepancy_{i + 1}" for i in range(len(self.values)))

    @property
    def seen(self) -> tuple[int, ...]:
        """The observations at which the joint band excludes zero."""
        ends = zip(self.joint_lower, self.joint_upper, strict=True)
        return tuple(i for i, (low, high) in enumerate(ends) if low > 0 or high < 0)


def surrogate_statement(push: float, treatment: SurrogateTreatment) -> str:
    """Return the effect of the surrogate's error on the answer, and its treatment."""
    return _TREATMENTS[treatment].format(f"{push:.2g} standard errors")
