"""The recovered parameters in ``metrics.json`` of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from popinv.errors import DataError

Metrics = Mapping[str, Any]

BASELINE_NAMES = {
    "blind": "this study",
    "distance": "distance alone",
    "noise_known": "noise known",
    "law_known": "law known",
    "full": "full gradient",
    "plain": "unweighted distance",
    "two_stage": "two-stage fit",
    "nuts": "hierarchical Bayes",
}
"""The answers that a comparison of baselines holds, as users read them."""


def observations_each(metrics: Metrics) -> str:
    """Return how many observations a system has: "6", or "1 to 6" where systems differ."""
    most = metrics["observations_per_system"]
    fewest = metrics.get("fewest_observations_of_a_system", most)
    return f"{most}" if fewest == most else f"{fewest} to {most}"


@dataclass(frozen=True)
class Parameter:
    """A recovered parameter, as users read it.

    Attributes
    ----------
    kind : {"law", "noise"}
    lower, upper : float or None
        Ends of the 95 % interval, if there is one.
    true : float or None
    units : str
        Empty if it has none.
    determined : bool
        Whether the data determine it at all.
    """

    kind: Literal["law", "noise"]
    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    true: float | None = None
    units: str = ""
    determined: bool = True

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


def parameters_in(metrics: Metrics) -> tuple[Parameter, ...]:
    """Return the recovered parameters in ``metrics.json``, law before noise.

    The median of a parameter takes the place of the mean of its logarithm, or logit.
    """
    summaries = {
        key.removeprefix(_SUMMARY): _parameter(metrics, "law", _SUMMARY, key)
        for key in metrics
        if key.startswith(_SUMMARY)
        and not key.startswith(f"{_SUMMARY}true_")
        and not key.endswith(("_lower", "_upper"))
    }
    law = []
    for p in _own(metrics, "law", "alpha_"):
        median = f"{p.name.removesuffix('_mean')}_median" if p.name.endswith("_mean") else ""
        law.append(summaries.pop(median, p))
    combinations = [
        _parameter(metrics, "law", _COMBINATION, key)
        for key in metrics
        if key.startswith(_COMBINATION) and not key.endswith(("_lower", "_upper"))
    ]
    noise = _own(metrics, "noise", "noise_")
    return (*law, *summaries.values(), *combinations, *noise)


_SUMMARY, _COMBINATION, _ERROR = "summary_", "combination_", "_predicted_error"


def _own(metrics: Metrics, kind: Literal["law", "noise"], prefix: str) -> Iterator[Parameter]:
    for key in metrics:
        if key.startswith(prefix) and key.endswith(_ERROR):
            yield _parameter(metrics, kind, prefix, key)


def _parameter(
    metrics: Metrics, kind: Literal["law", "noise"], prefix: str, entry: str
) -> Parameter:
    key = entry.removesuffix(_ERROR)
    name = key.removeprefix(prefix)
    unknown = str(metrics.get("undetermined", "none")).split(", ")
    return Parameter(
        kind,
        name,
        metrics[key],
        metrics.get(f"{key}_lower"),
        metrics.get(f"{key}_upper"),
        metrics.get(f"{prefix}true_{name}"),
        metrics.get(f"units_{kind}_{name}", ""),
        name not in unknown,
    )


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Return the numbers of a study.

    Raises
    ------
    DataError
        If there is no such file, or it does not hold a JSON object.
    """
    try:
        numbers = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file. A study writes metrics.json when it is finished."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error})") from None
    if not isinstance(numbers, dict):
        raise DataError(f"{path}: must hold names and numbers, not a {type(numbers).__name__}")
    return numbers


@contextmanager
def understood(path: str | Path) -> Iterator[None]:
    """Raise what damaged numbers bring about as an error that names their file.

    Numbers that are gone, or are of another type or size, are noticed where they are used.

    Raises
    ------
    DataError
        For any error of numbers, keys and types within the context.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be understood ({type(error).__name__}: {error}). Run the study again "
            "to write it anew."
        ) from error
