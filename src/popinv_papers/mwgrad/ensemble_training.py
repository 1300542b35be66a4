"""Trainings of ensembles on pairs of overlapping images, and the search for their rate.

Ensembles of all methods with one seed start from the same networks and see the same batches. They
are scored on pairs that they were trained on, and on pairs of images that they never saw. A
training can continue after a kill.

By the own recipe each method takes its best learning rate of a grid. As long as the largest rate is
the best, its double is tried too. Every rate trains one ensemble, and the three best of them train
another, since a rate near the limit of stability may do well by luck. No claim is measured on these
starts. Ensembles are scored on pairs of training images that they were not trained on, so that the
test images stay unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from popinv.errors import ConfigError, DivergenceError
from popinv.store.checkpoints import Checkpoint
from popinv.store.variables import variable
from popinv_papers.kit.images import ImageSet
from popinv_papers.kit.training import epoch_rows
from popinv_papers.mwgrad.ensemble_runs import (
    SEARCH,
    SEEDS,
    EnsembleSize,
    EnsembleTraining,
    Pairs,
    draw_pairs,
)
from popinv_papers.mwgrad.ensembles import (
    AUTHORS_BATCH,
    Ensemble,
    EnsembleSettings,
    authors_rate,
    authors_step,
    begin,
    predict,
    step,
)

NETWORKS = 5
_AT_ONCE, _EXAMPLES = 250, 6
_PARTS = ("trained", "unseen")


@dataclass(frozen=True)
class _Progress:
    """An ensemble, and what was recorded on its way."""

    state: Ensemble
    losses: list[np.ndarray]
    weights: list[float]
    accuracies: list[np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        state = self.state
        return {
            "iteration": np.array(state.iteration),
            "trunks": state.trunks.numpy(),
            "heads": state.heads.numpy(),
            "first_trunks": state.first_moments[0].numpy(),
            "first_heads": state.first_moments[1].numpy(),
            "second_trunks": state.second_moments[0].numpy(),
            "second_heads": state.second_moments[1].numpy(),
            "network_weights": state.weights,
            "losses": np.array(self.losses),
            "weights": np.array(self.weights),
            "accuracies": np.array(self.accuracies).reshape(-1, 2, 2),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> _Progress:
        tensors = {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}
        state = Ensemble(
            int(arrays["iteration"]),
            tensors["trunks"],
            tensors["heads"],
            (tensors["first_trunks"], tensors["first_heads"]),
            (tensors["second_trunks"], tensors["second_heads"]),
            np.array(arrays["network_weights"]),
        )
        records = (list(arrays[name]) for name in ("losses", "weights", "accuracies"))
        return cls(state, *records)


def train(
    run: EnsembleTraining,
    sets: dict[str, ImageSet],
    size: EnsembleSize,
    seed: int,
    checkpoint: Checkpoint | None = None,
    rate: float | None = None,
) -> xr.Dataset:
    """Train an ensemble by a recipe and score it.

    Parameters
    ----------
    seed : int
        Seed of the first start.
    checkpoint : Checkpoint, optional
        Where the progress is kept, and read if there is any.
    rate : float, optional
        First learning rate of the own recipe and of the search for it, which falls to zero along
        half a period of a cosine. The authors' recipes have their own rates.

    Returns
    -------
    Dataset
        ``accuracy`` (epoch, part, task) of the ensemble on trained and unseen pairs, and at the end
        ``log_likelihood`` (task) and ``network_accuracy`` (network, task) on unseen pairs; ``loss``
        (step, task), ``weight`` (step) of the first task, the first ``rate``, and some unseen
        images, ``example``.

    Raises
    ------
    ConfigError
        If the own recipe has no rate, or the authors' recipes are given one.
    """
    if (rate is None) != run.recipe.startswith("authors"):
        raise ConfigError(
            f"the recipe '{run.recipe}' with the rate {rate}: the authors' recipes have their own "
            "rates, and the others need one"
        )
    seed = seed + run.start
    count, epochs, batch = _extent(run, size)
    training, unseen = _pairs(run, sets, count, size.tested, seed)
    settings = EnsembleSettings(run.method, parameter_temperature=1 / count, seed=seed)
    found = checkpoint.read() if checkpoint else None
    progress = _Progress.of(found) if found else _Progress(begin(NETWORKS, settings), [], [], [])
    batches = count // batch
    steps = epochs * batches
    bar = tqdm(range(progress.state.iteration, steps), desc=run.name, unit="step", disable=None)
    for number in bar:
        epoch, place = divmod(number, batches)
        rows = epoch_rows(count, batch, number, seed, "mwgrad/order", whole=True)
        images = torch.from_numpy(training.images(rows))
        labels = torch.from_numpy(training.labels[:, rows])
        if rate is None:
            now = authors_rate(epoch)
            state, info = authors_step(progress.state, images, labels, now, run.method)
        else:
            now = rate * 0.5 * (1 + np.cos(np.pi * number / steps))
            state, info = step(progress.state, images, labels, now, settings)
        accuracies = progress.accuracies
        if place == batches - 1:
            some = training.rows(slice(size.tested))
            accuracies = [*accuracies, np.array([_accuracy(state, p) for p in (some, unseen)])]
        progress = _Progress(
            state,
            [*progress.losses, info["loss"]],
            [*progress.weights, float(state.weights[:, 0].mean())],
            accuracies,
        )
        if checkpoint:
            checkpoint.write_when_due(progress.arrays())
    first_rate = authors_rate(0) if rate is None else rate
    return _dataset(progress, unseen, first_rate)


def _extent(run: EnsembleTraining, size: EnsembleSize) -> tuple[int, int, int]:
    """Return how many pairs are trained on, the passes over them, and the pairs in a batch."""
    if run.recipe == SEARCH:
        return size.searched, 1, size.batch
    if run.recipe == "own":
        return size.trained, size.epochs, size.batch
    return size.authors_trained, size.authors_epochs, AUTHORS_BATCH


def _pairs(
    run: EnsembleTraining, sets: dict[str, ImageSet], count: int, tested: int, seed: int
) -> tuple[Pairs, Pairs]:
    """Return the pairs to train on, and those that are not trained on."""
    if run.recipe == SEARCH:
        # The test images stay unseen: other pairs of the training images are scored.
        drawn = draw_pairs(run.kind, sets, "train", count + tested, seed)
        return drawn.rows(slice(count)), drawn.rows(slice(count, None))
    split, other = ("test", "train") if run.recipe == "authors_on_test" else ("train", "test")
    return (
        draw_pairs(run.kind, sets, split, count, seed),
        draw_pairs(run.kind, sets, other, tested, seed),
    )


def _chances(state: Ensemble, pairs: Pairs) -> np.ndarray:
    """Return each network's class probabilities, (K, n, N, 10)."""
    parts = [
        predict(state, torch.from_numpy(pairs.images(slice(at, at + _AT_ONCE)))).numpy()
        for at in range(0, len(pairs), _AT_ONCE)
    ]
    return np.concatenate(parts, axis=2)


def _accuracy(state: Ensemble, pairs: Pairs) -> np.ndarray:
    """Return the share of the pairs of which the ensemble names the label, by task."""
    chances = _chances(state, pairs).mean(axis=1)
    return (chances.argmax(axis=2) == pairs.labels).mean(axis=1)


def _dataset(progress: _Progress, unseen: Pairs, rate: float) -> xr.Dataset:
    chances = _chances(progress.state, unseen)
    of_label = np.take_along_axis(chances.mean(axis=1), unseen.labels[:, :, None], axis=2)[..., 0]
    single = chances.argmax(axis=3) == unseen.labels[:, None]
    likelihood = np.log(np.maximum(of_label, 1e-30)).mean(axis=1)
    parts = np.array(_PARTS, dtype=np.str_)
    images, labels = unseen.images(slice(_EXAMPLES)), unseen.labels[:, :_EXAMPLES].T
    return xr.Dataset(
        {
            "accuracy": variable(
                ("epoch", "part", "task"),
                progress.accuracies,
                "share of pairs of which the ensemble names the label",
            ),
            "log_likelihood": variable("task", likelihood, "mean log-probability of the label"),
            "network_accuracy": variable(
                ("network", "task"), single.mean(axis=2).T, "accuracy of single networks"
            ),
            "loss": variable(("step", "task"), progress.losses, "mean loss on the batch"),
            "rate": variable((), rate, "first learning rate"),
            "weight": variable("step", progress.weights, "weight of the first task"),
            "example": variable(("one", "row", "column"), images, "unseen image"),
            "example_label": variable(("one", "task"), labels, "labels"),
        },
        coords={"part": variable("part", parts, "which pairs are scored")},
    )


_HIGHEST = 1.0
_FINALISTS = 3


def search(
    kind: str, method: str, sets: dict[str, ImageSet], size: EnsembleSize, seed: int
) -> xr.Dataset:
    """Return ``accuracy`` (start, rate), the mean of both tasks.

    It is 0 where a descent diverged, and NaN for the second start of rates that are not among the
    best. The size gives the grid of rates, and the pairs of a training. The seed belongs to the
    first measured start; the starts of the search lie beyond all of them.
    """

    def accuracy(rate: float, start: int) -> float:
        run = EnsembleTraining(kind, SEARCH, method, SEEDS + start)
        try:
            trained = train(run, sets, size, seed, rate=rate)
        except DivergenceError:
            return 0.0
        return float(trained["accuracy"].sel(part="unseen")[-1].mean())

    rates = list(size.rates)
    first = [accuracy(rate, 0) for rate in rates]
    while max(first) == first[-1] and rates[-1] < _HIGHEST:
        rates.append(2 * rates[-1])
        first.append(accuracy(rates[-1], 0))
    second = np.full(len(rates), np.nan)
    for place in np.argsort(first)[-_FINALISTS:]:
        second[place] = accuracy(rates[place], 1)
    return xr.Dataset(
        {
            "accuracy": variable(
                ("start", "rate"), np.array([first, second]), "accuracy on pairs not trained on"
            )
        },
        coords={"rate": variable("rate", np.array(rates), "first learning rate")},
    )


def best_rate(found: xr.Dataset) -> float:
    """Return the rate with the greatest mean accuracy over both starts."""
    mean = found["accuracy"].values.mean(axis=0)
    return float(found["rate"][int(np.nanargmax(mean))])
