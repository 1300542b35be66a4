"""The test problem: the paper's claims on threes against eights, and measurements of them.

Epochs follow from the accountant, for all methods from the same constants; accuracies are of real
images. What the paper's text does not say, but its authors' code and stored results do, is told
apart in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.downstream.certified_unlearning.accountant import Form, Setting, sequential_epochs
from popinv.downstream.certified_unlearning.baselines import DescentToDelete, Langevin
from popinv.downstream.certified_unlearning.digits import (
    RADIUS,
    Digits,
    accuracy_after_one,
    largest_share_of_gap,
    noiseless,
    serve,
)
from popinv.downstream.certified_unlearning.requests import Goal
from popinv.downstream.metrics import flatten
from popinv.seeds import generator
from popinv.store.variables import variable

__all__ = ["RECORDS", "SIZES", "Size", "measure", "metrics"]

RECORDS = 11_264
DIMENSION = 784
REQUESTS = 100
EPSILON, SIGMA = 1.0, 0.03
EPSILONS = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
BATCHES = (32, 128, 256, 512, RECORDS)
NOISES = (0.05, 0.1, 0.2, 0.5, 1.0)
MORE_NOISES = (0.01, *NOISES)
NOISE_BATCHES = (32, 128, 512, RECORDS)
# Epochs of learning before convergence, by Theorem 3.2, as in the authors' experiments.
_LEARNT = {128: 30, RECORDS: 3000}
_EXACT: Form = "exact"
_CODE: list[Form] = ["paper", *[_EXACT] * (REQUESTS - 1)]


@dataclass(frozen=True)
class Size:
    """Trials, and epochs of learning with small batches and with one."""

    trials: int
    learnt: int
    learnt_full: int
    noisy_batches: tuple[int, ...]


SIZES = {
    "workstation": Size(3, 20, 300, (32,)),
    "paper": Size(100, 50, 1000, (32, 128, 512, RECORDS)),
}


def constants(batch: int, n: int = RECORDS, smooth: float | None = None) -> Setting:
    """Return the paper's constants: m = 1e-6 n, L = 1/4 + m, M = 1, the rate 1/L, R = 100."""
    strong = 1e-6 * n
    smooth = smooth or 0.25 + strong
    return Setting(n, batch, 1 / smooth, strong, smooth, 1.0, RADIUS)


# The constants behind the authors' stored results of the other methods: all images, and a
# smoothness that was taken from the data, smaller than the bound that the noisy steps are held to.
OTHER = constants(11_982, 11_982, 0.1947006)


def name_of(batch: int) -> str:
    """Return "b128", or "full" for a single batch."""
    return f"b{batch}" if batch in BATCHES[:-1] else "full"


def epochs_of_methods() -> dict[str, np.ndarray]:
    """Return the epochs (requests,) of a hundred requests by method, one L for all.

    Langevin unlearning removes ten records at a time: its epochs are those of every tenth request.
    """
    delta = 1 / RECORDS
    epochs_by_method: dict[str, np.ndarray] = {}
    for batch in BATCHES:
        setting = constants(batch)
        gaps = [setting.gap()] * REQUESTS
        epochs, _ = sequential_epochs(setting, EPSILON, delta, SIGMA, gaps)
        epochs_by_method[name_of(batch)] = np.array(epochs)
    full = constants(RECORDS)
    epochs_by_method["delete"] = np.array(
        DescentToDelete(full, DIMENSION).steps(EPSILON, delta, SIGMA, REQUESTS)
    )
    together = 10
    at_once = Langevin(full, together).epochs(EPSILON, delta, SIGMA, REQUESTS // together)
    epochs_by_method["langevin"] = np.zeros(REQUESTS, dtype=int)
    epochs_by_method["langevin"][together - 1 :: together] = at_once
    other = DescentToDelete(OTHER, DIMENSION)
    epochs_by_method["delete_other_smoothness"] = np.array(
        other.steps(EPSILON, 1 / OTHER.n, SIGMA, REQUESTS)
    )
    at_once = Langevin(OTHER, together).epochs(EPSILON, 1 / OTHER.n, SIGMA, REQUESTS // together)
    epochs_by_method["langevin_other_smoothness"] = np.zeros(REQUESTS, dtype=int)
    epochs_by_method["langevin_other_smoothness"][together - 1 :: together] = at_once
    return epochs_by_method


def epochs_by_noise() -> np.ndarray:
    """Return the epochs (noises, batches, requests) at epsilon = 0.01, by the authors' forms."""
    epochs = []
    for sigma in MORE_NOISES:
        for batch in NOISE_BATCHES:
            setting = constants(batch)
            gaps = [setting.gap()] * REQUESTS
            epochs.append(sequential_epochs(setting, 0.01, 1 / RECORDS, sigma, gaps, _CODE)[0])
    return np.array(epochs).reshape(len(MORE_NOISES), len(NOISE_BATCHES), REQUESTS)


def accuracies_by_epsilon(digits: Digits, size: Size) -> dict[str, np.ndarray]:
    """Return the accuracy (trials, epsilons) after one request and one epoch, by method."""
    delta = 1 / RECORDS
    small, full = constants(128), constants(RECORDS)
    sigmas = {
        batch: np.array([s.sigma_before(e, delta, _LEARNT[batch], 1) for e in EPSILONS])
        for batch, s in ((128, small), (RECORDS, full))
    }
    langevin = np.array([Langevin(full).sigma_for(e, delta, 1) for e in EPSILONS])
    n = len(digits.features)
    accuracies = {"b128": accuracy_after_one(digits, 128, sigmas[128], size.learnt, size.trials)}
    both = np.concatenate([sigmas[RECORDS], langevin])
    of_both = accuracy_after_one(digits, n, both, size.learnt_full, size.trials)
    accuracies["full"], accuracies["langevin"] = np.split(of_both, 2, axis=1)
    for steps in (1, 5):
        w = noiseless(digits, 400, steps)
        # The noise of what is published is all that differs between trials.
        draws = generator(digits.seed, f"digits/delete/{steps}").standard_normal(
            (DIMENSION, 1, 100, len(EPSILONS))
        )
        for name, deletion in (
            (f"delete_{steps}", DescentToDelete(full, DIMENSION)),
            (f"delete_{steps}_other_smoothness", DescentToDelete(OTHER, DIMENSION)),
        ):
            noise = draws * [deletion.sigma_secret(e, delta, steps) for e in EPSILONS]
            published = (w[:, None, None, None] + noise).reshape(DIMENSION, 1, -1)
            accuracies[name] = digits.accuracy(published).reshape(100, len(EPSILONS))
    return accuracies


def measure(digits: Digits, size: Size) -> xr.Dataset:
    """Return everything as a Dataset; minutes in workstation size."""
    n = len(digits.features)
    goal = Goal(EPSILON, 1 / n)
    served = {}
    for batch in tqdm((32, 128, n), desc="batches of a hundred requests", disable=None):
        learnt = size.learnt_full if batch == n else size.learnt
        served[name_of(batch)] = serve(digits, batch, SIGMA, goal, learnt, REQUESTS, size.trials)
    noisy = {}
    strict = Goal(0.01, 1 / n)
    for batch in tqdm(size.noisy_batches, desc="noises", disable=None):
        learnt = size.learnt_full if batch == n else size.learnt
        rows = [serve(digits, batch, s, strict, learnt, REQUESTS, size.trials) for s in NOISES]
        noisy[name_of(batch)] = rows
    by_epsilon = accuracies_by_epsilon(digits, size)
    single = [_scratch(digits, batch, size) for batch in (1, 32)]
    epochs = epochs_of_methods()
    when = ("learnt", "unlearnt", "retrained")
    names = {
        "method": list(epochs),
        "published": list(by_epsilon),
        "served": list(served),
        "noisy": list(noisy),
        "when": list(when),
    }
    return xr.Dataset(
        {
            "epochs": variable(("method", "request"), list(epochs.values()), "epochs of requests"),
            "epochs_by_noise": variable(
                ("noise", "batch", "request"), epochs_by_noise(), "epochs of requests"
            ),
            **_mean_and_error(
                "accuracy", ("published", "epsilon"), by_epsilon.values(), "after one epoch"
            ),
            **_mean_and_error(
                "served_accuracy",
                ("served", "when"),
                [np.stack([getattr(s, w) for w in when], axis=1) for s in served.values()],
                "about a hundred requests",
            ),
            **_mean_and_error(
                "noisy_accuracy",
                ("noisy", "sigma"),
                [np.stack([s.unlearnt for s in rows], axis=1) for rows in noisy.values()],
                "after a hundred requests",
            ),
            **_mean_and_error(
                "noisy_retrained",
                ("noisy", "sigma"),
                [np.stack([s.retrained for s in rows], axis=1) for rows in noisy.values()],
                "of retraining",
            ),
            "served_epochs": variable(
                "served", [s.epochs.sum() for s in served.values()], "epochs of the first trial"
            ),
            "scratch": variable("scratch_batch", single, "accuracy of learning with small batches"),
            "share_of_gap": variable(
                (), largest_share_of_gap(digits, 128, SIGMA, 10), "largest distance over its bound"
            ),
        },
        coords={
            **{d: variable(d, np.array(v, dtype=np.str_), d) for d, v in names.items()},
            "epsilon": variable("epsilon", EPSILONS, "epsilon"),
            "sigma": variable("sigma", NOISES, "noise"),
            "noise": variable("noise", MORE_NOISES, "noise"),
            "batch": variable("batch", NOISE_BATCHES, "records in a batch"),
            "scratch_batch": variable("scratch_batch", [1, 32], "records in a batch"),
        },
    )


def _mean_and_error(
    name: str, dims: Sequence[str], trials: Any, words: str
) -> dict[str, xr.Variable]:
    """Return the mean over trials, the first axis of each, and its standard error."""
    rows = list(trials)
    mean = [row.mean(axis=0) for row in rows]
    error = [row.std(axis=0, ddof=1) / np.sqrt(len(row)) for row in rows]
    return {
        name: variable(dims, mean, f"accuracy {words}"),
        f"{name}_error": variable(dims, error, "standard error"),
    }


def _scratch(digits: Digits, batch: int, size: Size) -> float:
    """Return the accuracy of learning with small batches, over eight runs in each partition."""
    epochs = 5 if batch == 1 else size.learnt
    sigmas = np.full(8, SIGMA)
    return float(accuracy_after_one(digits, batch, sigmas, epochs - 1, size.trials).mean())


def metrics(result: xr.Dataset) -> dict[str, Any]:
    """Return the numbers of the result, flat."""
    totals = result["epochs"].sum("request")
    shares = {
        f"share_{batch}_of_{baseline}": float(
            totals.sel({"method": batch}) / totals.sel({"method": baseline})
        )
        for batch in ("b128", "full")
        for baseline in ("delete", "langevin")
    }
    accuracies: dict[str, float] = {}
    for name, pattern in (
        ("served_accuracy", "accuracy_{when}_{served}"),
        ("served_accuracy_error", "accuracy_{when}_{served}_standard_error"),
        ("accuracy", "accuracy_{published}_epsilon_{epsilon:g}"),
        ("noisy_accuracy", "accuracy_{noisy}_sigma_{sigma:g}"),
        ("noisy_retrained", "accuracy_{noisy}_sigma_{sigma:g}_retrained"),
        ("scratch", "accuracy_scratch_b{scratch_batch}"),
    ):
        accuracies |= flatten(result[name], pattern)
    full = constants(RECORDS)
    return {
        "delta": 1 / RECORDS,
        "requests": REQUESTS,
        **flatten(totals, "epochs_{method}"),
        **shares,
        **accuracies,
        "epochs_retraining_full": full.epochs_for(EPSILON, 1 / RECORDS, full.widest, SIGMA),
        "share_of_gap": float(result["share_of_gap"]),
    }
