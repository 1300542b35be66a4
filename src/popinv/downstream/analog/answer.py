"""Effect of training the surrogate on analog devices on a study's errors and its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.downstream.analog.study import Fit
from popinv.errors import DivergenceError
from popinv.inference.accuracy import law_errors, relative_frobenius_error
from popinv.inference.descent import run
from popinv.inference.problem import Problem, begin
from popinv.inference.result import noise_covariance
from popinv.inference.settings import DescentSettings
from popinv.store.variables import variable
from popinv.surrogate.design import whitened_rmse
from popinv.surrogate.networks import Surrogate

__all__ = ["changes", "check_rows", "error_of", "metrics", "result_dataset", "statement"]

Parameters = tuple[np.ndarray, np.ndarray]

# The descents compare surrogates with common random numbers, so that few draws are enough.
_MODEL_SAMPLES = 1000


def check_rows(check: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return (z, y) of the fresh solves, on which no surrogate was trained."""
    fresh = check["round"].values == check["round"].values.max()
    fresh &= check["reason"].values == 0
    return check["z"].values[fresh], check["y"].values[fresh]


def error_of(
    surrogate: Surrogate | None, rows: tuple[np.ndarray, np.ndarray], covariance: np.ndarray
) -> float:
    """Return the error in standard deviations of the noise, or infinity if training diverged."""
    if surrogate is None:
        return float("inf")
    z, y = rows
    predicted = surrogate.predict(z)
    if not np.isfinite(predicted).all():
        return float("inf")
    return whitened_rmse(predicted, y, np.linalg.cholesky(covariance))


def changes(
    problem: Problem, solution: Parameters, fits: Sequence[Fit], iterations: int
) -> Iterator[tuple[str, dict[str, float | str]]]:
    """Yield, by method, the differences of its descent from that of the study's surrogate.

    ``law_change`` is the largest relative change of a parameter of the law, ``noise_change`` that
    of the noise covariance in the Frobenius norm. Both descents see the same random numbers, so
    the change is due to the surrogate alone.
    """
    law, covariance = _answer(problem, solution, iterations)
    for fit in fits:
        if fit.surrogate is None:
            yield fit.method, {"descent": "none: the training diverged"}
            continue
        try:
            other = _answer(replace(problem, simulate=fit.surrogate), solution, iterations)
        except DivergenceError as error:
            yield fit.method, {"descent": f"diverged: {error}"}
            continue
        yield (
            fit.method,
            {
                "law_change": float(law_errors(other[0], law).max()),
                "noise_change": relative_frobenius_error(other[1], covariance),
            },
        )


def _answer(
    problem: Problem, solution: Parameters, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the law in natural values, and the noise covariance, after a descent."""
    settings = DescentSettings(iterations=iterations, model_samples=_MODEL_SAMPLES)
    done = run(begin(*solution, settings), problem, settings, description="on devices")
    return problem.law.to_natural(done.alpha), noise_covariance(problem, done.alpha, done.gamma)


def metrics(
    errors: Mapping[tuple[str, str, float], float],
    before: float,
    chosen: tuple[str, float],
    answers: Mapping[str, Mapping[str, float | str]],
) -> dict[str, float | str]:
    """Return all numbers, flat; ``chosen`` is the device and range of the descents."""
    numbers_by_name: dict[str, float | str] = {"error_before": before}
    for (device, method, reach), error in errors.items():
        name = "error_digital" if method == "digital" else f"error_{device}_{method}_{reach:g}"
        numbers_by_name[name] = error if np.isfinite(error) else "diverged"
    numbers_by_name |= {"descent_device": chosen[0], "descent_range": chosen[1]}
    for method, numbers in answers.items():
        numbers_by_name |= {f"{method}_{name}": value for name, value in numbers.items()}
    return numbers_by_name | {"statement": statement(errors, before, chosen, answers)}


_NAMED = {
    "digital": "digitally",
    "analog": "by analog descent",
    "tiki_taka": "by Tiki-Taka",
    "residual": "by residual learning",
}


def statement(
    errors: Mapping[tuple[str, str, float], float],
    before: float,
    chosen: tuple[str, float],
    answers: Mapping[str, Mapping[str, float | str]],
) -> str:
    """Return in words the error and the answer on the chosen device."""
    device, reach = chosen
    chosen_errors = {
        "digital": next(e for (_, method, _), e in errors.items() if method == "digital")
    }
    chosen_errors |= {m: errors[device, m, reach] for m in _NAMED if m != "digital"}

    def said(method: str) -> str:
        words, error, numbers = _NAMED[method], chosen_errors[method], answers.get(method, {})
        if not np.isfinite(error):
            return f"{words}, training diverges"
        if "law_change" not in numbers:
            return f"{words} it is {error:.4g}, from where the descent diverges"
        law, noise = (float(numbers[f"{part}_change"]) for part in ("law", "noise"))
        return f"{words} it is {error:.4g} (law moved by {law:.2%}, noise by {noise:.2%})"

    return (
        f"the surrogate's error is {before:.4g} standard deviations of the noise; after training "
        f"its last layers {said('digital')}, and on the {device.replace('_', ' ')} device of range "
        f"{reach:g} {', '.join(said(method) for method in _NAMED if method != 'digital')}"
    )


def result_dataset(errors: Mapping[tuple[str, str, float], float]) -> xr.Dataset:
    """Return the errors along ``training``."""
    devices, names, reaches = (np.array(column) for column in zip(*errors, strict=True))
    return xr.Dataset(
        {
            "error": variable(
                "training",
                list(errors.values()),
                "error in standard deviations of the noise, infinite if training diverged",
            ),
            "device": variable("training", devices.astype(np.str_), "device"),
            "method": variable("training", names.astype(np.str_), "method"),
            "reach": variable(
                "training", reaches, "dynamic range over the largest weight, 0 if digital"
            ),
        }
    )
