"""Threes against eights: removal of images from a linear classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from popinv.errors import ConfigError, DataError
from popinv.methods.certificate.accountant import Setting
from popinv.methods.certificate.descent import (
    EpochNoise,
    IndependentRuns,
    Loss,
    Partition,
    Records,
    run,
    start,
)
from popinv.methods.certificate.requests import Goal, learn, relearn, remove
from popinv.seeds import generator
from popinv_papers.kit.images import ImageSet
from popinv_papers.kit.kept import kept

_CLASSES = (3, 8)
RADIUS = 100.0
RUNS = 4
"""Runs in each partition of small batches, whose mean is a trial's accuracy."""
DRAWS = 20
"""Draws of published noise in a trial of descent to delete, whose mean is its accuracy."""


@dataclass(frozen=True)
class Logistic:
    """log(1 + exp(-y z)), with y = 1 or -1."""

    curvature: float = 0.25
    steepness: float = 1.0

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return -y/(1 + exp(y z))."""
        return -y * expit(-y * z)


_LOSS = Logistic()


def setting_of(
    loss: Loss,
    features: np.ndarray,
    outputs: int,
    strong: float,
    batch: int,
    *,
    bound: float = 1.0,
    radius: float = math.inf,
    emptied: bool = False,
) -> Setting:
    """Return the constants for learning k outputs with the rate 1/L.

    The features (n, d) are no longer than ``bound``, which also bounds the features of later
    records. The weight of the regulariser is ``strong``.

    Raises
    ------
    ConfigError
        If a feature is longer than the bound, or the loss has no bound on its slope.
    """
    longest = float(np.sqrt((features**2).sum(axis=1).max()))
    if not longest <= bound * (1 + max(1e-9, 8 * np.finfo(features.dtype).eps)):
        raise ConfigError(
            f"a record has a feature of length {longest:g}, but the guarantee is for at most "
            f"{bound:g}: scale the features"
        )
    smooth = loss.curvature * bound**2 + strong
    lipschitz = loss.steepness * bound * math.sqrt(outputs)
    return Setting(
        len(features), batch, 1 / smooth, strong, smooth, lipschitz, radius, emptied=emptied
    )


@dataclass(frozen=True)
class Digits:
    """Unit features (n, 784) and classes 1 or -1 (n, 1), for training and testing.

    ``strong`` is the weight m of the regulariser.
    """

    features: np.ndarray
    targets: np.ndarray
    test_features: np.ndarray
    test_targets: np.ndarray
    seed: int
    strong: float

    def accuracy(self, parameters: np.ndarray) -> np.ndarray:
        """Return the accuracy on the test images for each run's parameters (784, 1, r)."""
        right = (self.test_features @ parameters[:, 0] > 0) == (self.test_targets > 0)
        return np.asarray(right.mean(axis=0))

    def setting(self, batch: int) -> Setting:
        """Return the constants, with L = 1/4 + m and M = 1, for replaced records."""
        return setting_of(_LOSS, self.features, 1, self.strong, batch, radius=RADIUS)

    def records(self, batch: int, trial: int) -> Records:
        """Return the records in a trial's partition."""
        partition = Partition(len(self.features), batch, self.seed, f"digits/{batch}/{trial}")
        return Records.of(self.features, self.targets, partition)


def digits_of(
    images: ImageSet, n: int, seed: int, strong: float | None = None, cut: bool = False
) -> Digits:
    """Return n random images of threes and eights: pixels less 1/2, of length 1.

    The weight of the regulariser is the paper's 1e-6 n by default. With ``cut`` the images are the
    first n, of which the threes come first: the authors' noisy steps learn from these, which lack
    eights.

    Raises
    ------
    DataError
        If there are fewer images.
    """
    rows = np.flatnonzero(np.isin(images.train_labels, _CLASSES))
    if len(rows) < n:
        raise DataError(f"{len(rows)} images of threes and eights, {n} are needed")
    if cut:
        rows = np.concatenate([rows[images.train_labels[rows] == c] for c in _CLASSES])[:n]
    else:
        rows = generator(seed, "digits/rows").permutation(rows)[:n]
    tested = np.flatnonzero(np.isin(images.test_labels, _CLASSES))
    return Digits(
        _features(images.train[rows]),
        _targets(images.train_labels[rows]),
        _features(images.test[tested]),
        _targets(images.test_labels[tested]),
        seed,
        1e-6 * n if strong is None else strong,
    )


def _features(pixels: np.ndarray) -> np.ndarray:
    # Single precision is enough for accuracies, and twice as fast.
    features = pixels.reshape(len(pixels), -1).astype(np.float32) / 255 - np.float32(0.5)
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


def _targets(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == _CLASSES[0], 1.0, -1.0).astype(np.float32)[:, None]


def replacements(seed: int, count: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random records (count, d), (count, 1): normal features of length 1, any class."""
    rng = generator(seed, "digits/replacements")
    features = rng.standard_normal((count, d))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features, rng.choice([-1.0, 1.0], (count, 1))


def removed_rows(digits: Digits, count: int) -> np.ndarray:
    """Return the records that the requests remove, in order."""
    rng = generator(digits.seed, "digits/requests")
    return rng.permutation(len(digits.features))[:count]


@dataclass(frozen=True)
class Served:
    """Served requests: epochs of each, and accuracy (trials,) before and after.

    Attributes
    ----------
    epochs : ndarray of int, shape (requests,)
        Epochs of each request in the first trial.
    learnt, unlearnt, retrained : ndarray of shape (trials,)
        Accuracy after learning, after the last request, and after retraining without the records.
    """

    epochs: np.ndarray
    learnt: np.ndarray
    unlearnt: np.ndarray
    retrained: np.ndarray


def serve(
    digits: Digits, batch: int, sigma: float, goal: Goal, learnt: int, requests: int, trials: int
) -> Served:
    """Learn, and serve requests of one record each.

    A trial has its own partition, and its accuracies are means over some runs in it. With a single
    batch there is one partition, and each run is a trial.
    """
    together = trials if batch == digits.setting(batch).n else 1
    accuracies, epochs = [], []
    name = f"batch {batch}, sigma {sigma:g}, epsilon {goal.epsilon:g}"
    for trial in tqdm(range(trials // together), desc=name, unit="trial", disable=None):
        asked = (digits, batch, sigma, goal, learnt, requests, trial, together)
        found = kept(f"{name}, {learnt} epochs, trial {trial}", partial(_serve_once, *asked))
        accuracies.append(found["accuracies"])
        epochs.append(found["epochs"])
    by_model = np.concatenate(accuracies, axis=1)
    return Served(epochs[0], *by_model)


def _serve_once(
    digits: Digits,
    batch: int,
    sigma: float,
    goal: Goal,
    learnt: int,
    requests: int,
    trial: int,
    together: int,
) -> dict[str, np.ndarray]:
    """Return the accuracies (3, together) and the epochs (requests,) of one partition."""
    setting = digits.setting(batch)
    rows = removed_rows(digits, requests)
    features, targets = replacements(digits.seed, requests, digits.features.shape[1])
    runs = together if batch == setting.n else RUNS
    noise = EpochNoise(sigma, digits.seed, f"digits/{batch}/{sigma:g}/{trial}")
    holder = learn(digits.records(batch, trial), _LOSS, setting, noise, learnt, runs)
    before = holder.model
    for i, row in enumerate(rows):
        one = slice(i, i + 1)
        holder = remove(holder, [int(row)], goal, (features[one], targets[one]))
    anew = relearn(holder, replace(noise, stage=f"{noise.stage}/anew"))
    models = (before, holder.model, anew)
    of_runs = np.array([digits.accuracy(m.parameters) for m in models])
    return {
        "accuracies": of_runs.reshape(3, together, -1).mean(axis=2),
        "epochs": np.array([removal.epochs for removal in holder.removals]),
    }


def accuracy_after_one(
    digits: Digits, batch: int, sigmas: np.ndarray, learnt: int, trials: int
) -> np.ndarray:
    """Return the accuracy (trials, sigmas) after replacing one record and one epoch.

    All noises share the partition of a trial. With a single batch, all trials share it as well.
    """
    setting = digits.setting(batch)
    row = int(removed_rows(digits, 1)[0])
    features, targets = replacements(digits.seed, 1, digits.features.shape[1])
    together = trials if batch == setting.n else 1
    accuracies = []
    name = f"one request, batch {batch}"
    for trial in tqdm(range(trials // together), desc=name, unit="trial", disable=None):
        records = digits.records(batch, trial)
        noise = EpochNoise(np.tile(sigmas, together), digits.seed, f"digits/once/{batch}/{trial}")
        model = start(records, setting, noise, len(sigmas) * together)
        model = run(model, records, _LOSS, setting, noise, learnt)
        left = records.replaced(row, features[0], targets[0])
        model = run(model, left, _LOSS, setting, noise, 1)
        accuracies.append(digits.accuracy(model.parameters).reshape(together, len(sigmas)))
    return np.concatenate(accuracies)


def noiseless(digits: Digits, steps: int, further: int, removed: int = 1) -> np.ndarray:
    """Return the parameters (784,) of full gradient descent with the step 2/(L + m).

    It takes ``steps`` on all records, and ``further`` steps on those with some replaced.
    """
    setting = digits.setting(len(digits.features))
    step = 2 / (setting.smooth + setting.strong)
    x, y = digits.features.copy(), digits.targets[:, 0].copy()
    w = np.zeros(x.shape[1])
    for i in range(steps + further):
        if i == steps:
            rows = removed_rows(digits, removed)
            features, targets = replacements(digits.seed, removed, x.shape[1])
            x[rows], y[rows] = features, targets[:, 0]
        w = w - step * (x.T @ _LOSS.slope(x @ w, y) / len(x) + setting.strong * w)
    return w


def largest_share_of_gap(
    digits: Digits, batch: int, sigma: float, epochs: int, trial: int = 0
) -> float:
    """Return the largest ratio of the distance of two runs with the same noise to its bound.

    One record, of the last batch, has the other class in the second run. See Lemma 3.3.
    """
    setting = digits.setting(batch)
    records = digits.records(batch, trial)
    row = int(records.partition.order[-1])
    other = records.replaced(row, digits.features[row], -digits.targets[row])
    noise = EpochNoise(sigma, digits.seed, f"digits/gap/{trial}")
    models: list[IndependentRuns] = [start(records, setting, noise, 1)] * 2
    largest = 0.0
    for epoch in range(1, epochs + 1):
        models = [
            run(model, data, _LOSS, setting, noise, 1)
            for model, data in zip(models, (records, other), strict=True)
        ]
        distance = float(np.linalg.norm(models[0].parameters - models[1].parameters))
        largest = max(largest, distance / setting.gap(epochs=epoch))
    return largest
