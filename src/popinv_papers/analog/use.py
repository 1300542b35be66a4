"""The use on a study: its surrogate on an analog accelerator, deployed or trained there.

The effect is that on the surrogate's errors and on the study's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from popinv.errors import DivergenceError
from popinv.inference.answer.result import parameter_names
from popinv.inference.density.build import descent_problem
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.methods.invariants import Invariant, held
from popinv.methods.outcome import Outcome, StudyInput
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_data, training_settings
from popinv.surrogate.design import whitened_rmse
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import prepare
from popinv_papers.analog import deployment
from popinv_papers.analog.accelerator import Accelerator, TangentSimulator
from popinv_papers.analog.deployment import SimulatorRefitter
from popinv_papers.analog.figures import draw_deployment, draw_errors
from popinv_papers.analog.study import trainings, with_devices, without_devices

# Change of a network's answers, relative to their size, that is due to single precision.
_ROUNDING = 1e-5


def error_of(
    surrogate: Surrogate | None, rows: tuple[np.ndarray, np.ndarray], covariance: np.ndarray
) -> float:
    """Return the error in noise standard deviations, or infinity if training diverged."""
    if surrogate is None:
        return float("inf")
    z, y = rows
    predicted = surrogate.predict(z)
    if not np.isfinite(predicted).all():
        return float("inf")
    return whitened_rmse(predicted, y, np.linalg.cholesky(covariance))


def nothing_changed(
    surrogate: Surrogate,
    accelerator: Accelerator,
    layers: int,
    rows: tuple[np.ndarray, np.ndarray],
    covariance: np.ndarray,
) -> Invariant:
    """Check that devices without steps, and an accelerator without errors, answer as before.

    The last ``layers`` dense layers are on devices, ``rows`` are fresh solves (z, y), and the
    covariance is the noise covariance.
    """
    z = torch.from_numpy(rows[0])
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    untrained = without_devices(with_devices(surrogate.network, layers))
    others: list[TangentSimulator] = [
        replace(surrogate, network=untrained),
        *(accelerator.simulator(kind, 0.0, 0) for kind in ("programming", "read_noise")),
    ]
    with torch.no_grad():
        before = surrogate(z).numpy()
        moved = [float(np.abs((other(z).numpy() - before) @ white.T).max()) for other in others]
    return held(
        "nothing_changed",
        "devices without steps, accelerator without errors: change of the surrogate's answers, in "
        "noise standard deviations",
        max(moved),
        _ROUNDING * float((np.abs(before) @ np.abs(white).T).max()),
    )


def change(refitter: SimulatorRefitter, surrogate: Surrogate | None) -> dict[str, float | str]:
    """Return the shifts of law and noise from the answer of the study's surrogate.

    ``law_shift`` and ``noise_shift`` are the largest of a parameter, in standard errors.
    """
    if surrogate is None:
        return {"refit": "none: the training diverged"}
    try:
        shift = np.abs(refitter.shift(lambda: surrogate))
    except DivergenceError as error:
        return {"refit": f"lost: {error}"}
    d_alpha = refitter.problem.d_alpha
    return {
        "law_shift": float(shift[:d_alpha].max(initial=0.0)),
        "noise_shift": float(shift[d_alpha:].max(initial=0.0)),
    }


def metrics(
    errors: Mapping[tuple[str, str, float], float],
    before: float,
    chosen: tuple[str, float],
    answers: Mapping[str, Mapping[str, float | str]],
) -> dict[str, float | str]:
    """Return all numbers, flat; ``chosen`` is the device and range of the refits."""
    numbers_by_name: dict[str, float | str] = {"error_before": before}
    for (device, method, reach), error in errors.items():
        name = "error_digital" if method == "digital" else f"error_{device}_{method}_{reach:g}"
        numbers_by_name[name] = error if np.isfinite(error) else "diverged"
    numbers_by_name |= {"refit_device": chosen[0], "refit_range": chosen[1]}
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
        if "law_shift" not in numbers:
            return f"{words} it is {error:.4g}, and the refit of the answer is lost"
        law, noise = (float(numbers[f"{part}_shift"]) for part in ("law", "noise"))
        return (
            f"{words} it is {error:.4g} (law moved by {law:.2g} standard errors, noise by "
            f"{noise:.2g})"
        )

    return (
        f"the surrogate's error is {before:.4g} noise standard deviations; after training "
        f"its last layers {said('digital')}, and on the {device.replace('_', ' ')} device of range "
        f"{reach:g} {', '.join(said(method) for method in _NAMED if method != 'digital')}"
    )


def result_dataset(errors: Mapping[tuple[str, str, float], float]) -> xr.Dataset:
    """Return the errors along ``training``."""
    devices, names, reaches = zip(*errors, strict=True)
    return xr.Dataset(
        {
            "error": variable(
                "training",
                list(errors.values()),
                "error in noise standard deviations, infinite if training diverged",
            ),
            "device": variable("training", devices, "device"),
            "method": variable("training", names, "method"),
            "reach": variable(
                "training", reaches, "dynamic range over the largest weight, 0 if digital"
            ),
        }
    )


def use(study: StudyInput) -> Outcome:
    """Refit the answer through the surrogate with every error, and after training on devices."""
    asked, stores, seed = study.asked, study.stores, study.seed
    surrogate = surrogate_of(stores["surrogate"])
    logarithmic = study.law.law(study.forward).logarithmic
    settings = training_settings(
        study.surrogate, study.forward, seed, 1, stores["estimate"], logarithmic
    )
    solves = stores["solves"]
    data = training_data(solves, int(solves["round"].max()), study.recency_decay)
    # No surrogate was trained on these.
    fresh = FreshSolves.of_last_round(stores["fresh_solves"])
    rows = fresh.z, fresh.y
    covariance = stores["population"]["noise_covariance"].values
    chosen = asked.devices[0], asked.ranges[0]
    accelerator = Accelerator.of(surrogate, rows[0], seed)
    # The refits have the stage and the draws of the answer.
    problem = descent_problem(study.model, stores["observations"], surrogate, seed, "polish")
    refitter = SimulatorRefitter(problem, surrogate, stores["population"], study.polish.draws)
    invariants = [
        nothing_changed(surrogate, accelerator, asked.layers, rows, covariance),
        refitter.nothing_changed(surrogate),
    ]
    errors, fits = {}, []
    for fit in trainings(prepare(data, settings, surrogate), surrogate, asked, seed):
        error = error_of(fit.surrogate, rows, covariance)
        errors[fit.device, fit.method, fit.reach] = error
        print(f"{fit.device}, {fit.method}, range {fit.reach:g}: error {error:.3g}")
        if fit.method == "digital" or (fit.device, fit.reach) == chosen:
            fits.append(fit)
    answers = {fit.method: change(refitter, fit.surrogate) for fit in fits}
    shifts = list(deployment.deployed(refitter, accelerator, asked.draws))
    before = error_of(surrogate, rows, covariance)
    numbers = metrics(errors, before, chosen, answers)
    numbers |= deployment.metrics(shifts, problem.d_alpha)
    print(numbers["statement"])
    print(numbers["advice"])
    on_devices = {key: error for key, error in errors.items() if key[1] != "digital"}
    digital = errors["none", "digital", 0.0]
    return Outcome(
        metrics=numbers,
        figures={
            "errors": draw_errors(on_devices, digital, before),
            "deployment": draw_deployment(shifts),
        },
        result=result_dataset(errors).merge(
            deployment.shifts_dataset(shifts, parameter_names(problem))
        ),
        invariants=invariants,
    )
