"""Claims on the classification of threes and eights.

The paper's tables were readable to us as pictures only. We compare with its text, and with the
results that its authors stored beside their code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from popinv.downstream.claims import Claim, near

__all__ = ["claims"]

# Accuracies at the six epsilons of the test problem.
_ACCURACY = {
    "b128": (0.817, 0.873, 0.894, 0.894, 0.895, 0.895),
    "full": (0.556, 0.594, 0.799, 0.870, 0.894, 0.898),
    "langevin": (0.679, 0.812, 0.910, 0.911, 0.910, 0.910),
    "delete_1_other_smoothness": (0.513, 0.516, 0.551, 0.597, 0.701, 0.825),
    "delete_5_other_smoothness": (0.536, 0.573, 0.788, 0.860, 0.902, 0.910),
}
# Values by noise (0.01, 0.05, 0.1, 0.2, 0.5, 1), for batches of 32, 128, 512 and for full batches.
_EPOCHS = (
    (100, 200, 601, 10_528),
    (100, 200, 401, 7026),
    (100, 101, 302, 5525),
    (100, 101, 301, 4171),
    (100, 100, 201, 2614),
    (100, 100, 125, 1771),
)
_NOISY_B32 = (0.835, 0.775, 0.686, 0.580, 0.548)
_WORDS = {
    "b128": "noisy steps, batches of 128",
    "full": "noisy steps, full batch",
    "langevin": "Langevin unlearning",
    "delete_1_other_smoothness": "descent to delete, 1 step, their smoothness",
    "delete_5_other_smoothness": "descent to delete, 5 steps, their smoothness",
    "b32": "batches of 32",
}


def claims(result: xr.Dataset, numbers: Mapping[str, float]) -> list[Claim]:
    """Return the table, from the result and the metrics of ``problem``."""
    return [*_of_epochs(result, numbers), *_of_accuracy(result, numbers)]


def _of_epochs(result: xr.Dataset, numbers: Mapping[str, float]) -> Iterator[Claim]:
    for name, share, limit in (("full", 0.10, 0.12), ("b128", 0.02, 0.025)):
        ours = max(numbers[f"share_{name}_of_{other}"] for other in ("delete", "langevin"))
        yield Claim(
            f"epochs of 100 requests, {_WORDS[name]}, over those of the other methods, one "
            f"smoothness for all (at most {limit:g})",
            "paper",
            share,
            ours,
            ours <= limit,
        )
    by_noise = result["epochs_by_noise"]
    for batch, most in ((32, 1), (512, 5)):
        at = {"batch": batch, "noise": by_noise["noise"] >= 0.05}
        largest = int(by_noise.loc[at].max())
        yield Claim(
            f"epochs of a request at epsilon 0.01, noise 0.05 to 1, batches of {batch} (at most)",
            "paper",
            most,
            largest,
            largest <= most,
        )
    agree = int((by_noise.sum("request").values == np.array(_EPOCHS)).sum())
    yield Claim(
        "totals of 100 requests at epsilon 0.01, six noises and four batches, that agree exactly",
        "authors' code",
        24,
        agree,
        agree == 24,
    )
    for method, total, words in (
        ("full", 886, "noisy steps, full batch"),
        ("delete_other_smoothness", 9118, "descent to delete, their smoothness"),
        ("langevin_other_smoothness", 8739, "Langevin unlearning, their smoothness"),
    ):
        epochs = int(numbers[f"epochs_{method}"])
        yield Claim(
            f"epochs of 100 requests at epsilon 1, {words} (exactly)",
            "authors' code",
            total,
            epochs,
            epochs == total,
        )
    yield Claim(
        "largest distance of two runs with the same noise over the bound of Lemma 3.3 (at most)",
        "paper",
        1,
        numbers["share_of_gap"],
        numbers["share_of_gap"] <= 1,
    )


def _of_accuracy(result: xr.Dataset, numbers: Mapping[str, float]) -> Iterator[Claim]:
    for name in ("full", "b128"):
        yield near(
            f"accuracy after 100 requests at epsilon 1, {_WORDS[name]} (within 0.05)",
            "paper",
            0.9,
            numbers[f"accuracy_unlearnt_{name}"],
            0.05,
        )
    for batch, accuracy in ((32, 0.87), (1, 0.64)):
        yield near(
            f"accuracy of learning, noise 0.03, batches of {batch} (within 0.05)",
            "paper",
            accuracy,
            numbers[f"accuracy_scratch_b{batch}"],
            0.05,
        )
    for served in result["served"].values:
        when = {"served": served}
        means, errors = result["served_accuracy"].sel(when), result["served_accuracy_error"]
        difference = float(means.sel({"when": "unlearnt"}) - means.sel({"when": "retrained"}))
        pair = errors.sel({**when, "when": ["unlearnt", "retrained"]})
        error = float(np.sqrt((pair**2).sum()))
        yield Claim(
            f"accuracy after 100 requests less that of retraining, {_WORDS[str(served)]} (0 within "
            "0.01 and 3 standard errors)",
            "this package",
            0,
            difference,
            abs(difference) <= 0.01 + 3 * error,
        )
    for name, stored in _ACCURACY.items():
        ours = result["accuracy"].sel({"published": name}).values
        yield _stored(f"accuracy after one epoch, six epsilons, {_WORDS[name]}", stored, ours)
    ours = result["noisy_accuracy"].sel({"noisy": "b32"}).values
    yield _stored(
        "accuracy after 100 requests at epsilon 0.01, five noises, batches of 32", _NOISY_B32, ours
    )


def _stored(words: str, stored: tuple[float, ...], ours: np.ndarray) -> Claim:
    difference = float(np.abs(ours - np.array(stored)).mean())
    return Claim(
        f"{words}: mean size of the difference (at most 0.04)",
        "authors' code",
        0,
        difference,
        difference <= 0.04,
    )
