"""The recovered parameters in ``metrics.json`` of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from popinv.errors import DataError

__all__ = ["Metrics", "Parameter", "parameters_in", "read_metrics"]

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """A recovered parameter, in natural values.

    Attributes
    ----------
    kind : {"law", "noise"}
    name : str
    value : float
    lower, upper : float or None
        Ends of the 95 % interval, if there is one.
    true : float or None
    """

    kind: Literal["law", "noise"]
    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    true: float | None = None

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
    """Return the recovered parameters in ``metrics.json``, law before noise."""
    kinds: dict[Literal["law", "noise"], str] = {"law": "alpha_", "noise": "noise_"}
    ending = "_predicted_error"
    recovered = []
    for kind, prefix in kinds.items():
        for entry in metrics:
            if not (entry.startswith(prefix) and entry.endswith(ending)):
                continue
            key = entry.removesuffix(ending)
            name = key.removeprefix(prefix)
            recovered.append(
                Parameter(
                    kind,
                    name,
                    metrics[key],
                    metrics.get(f"{key}_lower"),
                    metrics.get(f"{key}_upper"),
                    metrics.get(f"{prefix}true_{name}"),
                )
            )
        if kind == "law":
            recovered += _summaries(metrics)
    return tuple(recovered)


def _summaries(metrics: Metrics) -> Iterator[Parameter]:
    """Yield moments, quantiles and correlations of a law whose coefficients have no meaning."""
    prefix, ending = "summary_", "_lower"
    for entry in metrics:
        if entry.startswith(prefix) and entry.endswith(ending):
            key = entry.removesuffix(ending)
            name = key.removeprefix(prefix)
            true = metrics.get(f"{prefix}true_{name}")
            ends = metrics[entry], metrics.get(f"{key}_upper")
            yield Parameter("law", name, metrics[key], *ends, true)


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
