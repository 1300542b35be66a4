"""A read-out of a study's observations, from which systems are removed with a certificate.

The read-out predicts one observed quantity of a system from the others, as if that sensor had
failed. It is a linear model, learnt with the Huber loss. Its input from one system must depend on
that system alone. The scale of the observations therefore comes from reference systems that were
set aside before, half of the held-out ones. The read-out is neither trained nor tested on them, and
they cannot be removed.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.downstream.certified_unlearning.accountant import Setting
from popinv.downstream.certified_unlearning.certificate import certificate
from popinv.downstream.certified_unlearning.descent import Model, Noise, run
from popinv.downstream.certified_unlearning.losses import Huber, setting_of
from popinv.downstream.certified_unlearning.records import Partition, Records
from popinv.downstream.certified_unlearning.requests import Goal, Holder, learn, relearn, remove
from popinv.downstream.certified_unlearning.scale import scale_of
from popinv.errors import ConfigError, DataError
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.downstream.certified_unlearning.section import CertifiedUnlearning

__all__ = ["Readout", "forget", "prepare", "remove_systems"]

_NOISES = {
    "seeded": (
        "The noise follows from the study's seed. Anyone who has the seed can subtract it, so the "
        "guarantee protects only against everyone else."
    ),
    "secret": "The noise was drawn anew, and its seed was discarded.",
}
_COVERS = (
    "The parameters of the read-out, which predicts {predicted} from the other observed quantities "
    "of a system. Not covered: the study's law, noise and surrogate, which learnt from all systems "
    "and still hold this information. The scale of the observations comes from reference systems "
    "that cannot be removed."
)


@dataclass(frozen=True)
class Readout:
    """The records of a read-out, its constants and its goal."""

    records: Records
    loss: Huber
    setting: Setting
    goal: Goal
    sigma: float
    learnt: int


def prepare(
    features: np.ndarray,
    targets: np.ndarray,
    seed: int,
    *,
    epsilon: float,
    epochs: int,
    batch: int,
    strong_convexity: float,
    clipping: float,
    radius: float,
) -> Readout:
    """Return the records, and the noise and the learning epochs that the goal requires.

    The noise is the smallest for which the removal of one system, wherever it is, takes at most
    ``epochs``. Learning takes as many epochs as are needed for the start to be forgotten to the
    same epsilon and delta. Empty places fill up the batches.
    """
    there = np.isfinite(targets[:, 0])
    count = len(targets)
    batch = min(batch, count)
    places = math.ceil(count / batch) * batch
    filled = np.zeros(places)
    filled[:count] = there
    x, y = np.zeros((places, features.shape[1])), np.zeros((places, 1))
    x[:count][there], y[:count][there] = features[there], targets[there]
    loss = Huber(clipping)
    setting = setting_of(loss, x, 1, strong_convexity, batch, radius=radius, emptied=True)
    goal = Goal(epsilon, 1 / count)
    sigma = setting.sigma_for(epsilon, goal.delta, setting.gap(), epochs, goal.form)
    learnt = setting.epochs_for(epsilon, goal.delta, setting.widest, sigma, goal.form)
    partition = Partition(places, batch, seed, "certified_unlearning")
    return Readout(Records.of(x, y, partition, filled), loss, setting, goal, sigma, learnt)


def remove_systems(
    observations: xr.Dataset, asked: CertifiedUnlearning, seed: int
) -> tuple[xr.Dataset, dict[str, Any], dict[str, dict[str, Any]]]:
    """Remove systems from a read-out of a study's observations; see :func:`forget`.

    Parameters
    ----------
    observations : Dataset
        ``y`` and ``y_heldout``; ``system_id`` names the systems where it is there.
    asked : CertifiedUnlearning
    seed : int
        The study's seed.
    """
    aside = observations["y_heldout"].values
    half = len(aside) // 2
    y = observations["y"].values
    if observations.attrs.get("folds", 0) == 1:
        # The tested systems are the last of those that the study learned from.
        y = y[: len(y) - len(aside)]
    target = y.shape[1] // 2 if asked.observation is None else asked.observation
    scale = scale_of(aside[:half], target, asked.components)
    readout = prepare(
        scale.features(y),
        scale.targets(y),
        seed,
        epsilon=asked.epsilon,
        epochs=asked.epochs,
        batch=asked.batch_size,
        strong_convexity=asked.strong_convexity,
        clipping=asked.clipping,
        radius=asked.radius,
    )
    names = None
    if "system_id" in observations.coords:
        names = [str(name) for name in observations["system_id"].values[: len(y)]]
    return forget(
        readout,
        len(y),
        (scale.features(aside[half:]), scale.targets(aside[half:])),
        asked.systems,
        asked.repeats,
        seed if asked.noise == "seeded" else secrets.randbits(62),
        predicted=f"observed quantity {scale.target}",
        noise=_NOISES[asked.noise],
        names=names,
    )


def forget(
    readout: Readout,
    count: int,
    heldout: tuple[np.ndarray, np.ndarray],
    systems: Sequence[int],
    repeats: int,
    noise_seed: int,
    *,
    predicted: str,
    noise: str,
    names: Sequence[str] | None = None,
) -> tuple[xr.Dataset, dict[str, Any], dict[str, dict[str, Any]]]:
    """Remove systems one by one and all at once, and retrain without them.

    Parameters
    ----------
    readout : Readout
    count : int
        Number of systems, without the places that only fill the last batch.
    heldout : (ndarray of shape (n, d), ndarray of shape (n, 1))
        Features and targets of systems on which the read-out is not trained.
    systems : sequence of int
    repeats : int
        Number of repetitions with different noise. The first one is certified.
    noise_seed : int
    predicted, noise : str
        In words, for the certificate: the predicted quantity, and the origin of the noise.
    names : sequence of str, optional
        Names of the systems.

    Returns
    -------
    Dataset
        ``error`` (way, repeat) on held-out systems, ``residual`` (way, repeat) on the removed ones,
        ``epochs`` of the requests, and the parameters of the first repeat.
    dict
        Metrics.
    dict
        Certificates, ``sequence`` and ``batch``.

    Raises
    ------
    ConfigError
        If a system is not among those that were learnt from.
    DataError
        If no held-out system has an observation to predict.
    """
    known = np.isfinite(heldout[1][:, 0])
    if not known.any() or heldout[1][known].std() == 0:
        raise DataError("the held-out systems have no observations that differ, to predict")
    wrong = [system for system in systems if not 0 <= system < count]
    if wrong or len(set(systems)) != len(systems) or not len(systems):
        raise ConfigError(
            f"downstream.certified_unlearning.systems is {list(systems)}: must be different "
            f"numbers from 0 to {count - 1}, of the {count} observed systems"
        )
    tested = heldout[0][known], heldout[1][known]
    whole = readout.records
    models_by_way: dict[str, list[Model]] = {}
    first: dict[str, Holder] = {}
    for repeat in tqdm(range(repeats), desc="repeats", disable=None):
        of_repeat = Noise(readout.sigma, noise_seed, f"certified_unlearning/{repeat}")
        held = learn(whole, readout.loss, readout.setting, of_repeat, readout.learnt)
        one_by_one = held
        for system in systems:
            one_by_one = remove(one_by_one, [system], readout.goal)
        at_once = remove(held, systems, readout.goal)
        anew = relearn(at_once, replace(of_repeat, stage=f"{of_repeat.stage}/anew"))
        for way, model in {
            "learnt": held.model,
            "sequence": one_by_one.model,
            "batch": at_once.model,
            "anew": anew,
        }.items():
            models_by_way.setdefault(way, []).append(model)
        if repeat == 0:
            first = {"sequence": one_by_one, "batch": at_once}
    quiet = Noise(0.0, noise_seed, "certified_unlearning/quiet")
    left = first["batch"].records
    start = Model(np.zeros((*whole.shape, 1)))
    exact = run(start, left, readout.loss, readout.setting, quiet, 2 * readout.learnt)
    models_by_way["noiseless"] = [exact] * repeats
    removed = [whole.record(system) for system in systems]
    gone, targets = (np.array(part) for part in zip(*removed, strict=True))
    scores = {
        "error": {
            way: [_error(m, *tested) for m in models] for way, models in models_by_way.items()
        },
        "residual": {
            way: [float(np.abs(gone @ m.parameters[:, :, 0] - targets).mean()) for m in models]
            for way, models in models_by_way.items()
        },
    }
    result = _dataset(scores, first, models_by_way)
    metrics = _metrics(readout, scores, first, len(tested[0]))
    documents = {
        way: certificate(
            holder, noise=noise, names=names, covers=_COVERS.format(predicted=predicted)
        )
        for way, holder in first.items()
    }
    return result, metrics, documents


def _error(model: Model, features: np.ndarray, targets: np.ndarray) -> float:
    """Return the root mean square error over the targets' deviation; their mean would give 1."""
    difference = features @ model.parameters[:, :, 0] - targets
    return float(np.sqrt((difference**2).mean()) / targets.std())


def _dataset(
    scores: dict[str, dict[str, list[float]]],
    first: dict[str, Holder],
    models_by_way: dict[str, list[Model]],
) -> xr.Dataset:
    ways = list(models_by_way)
    requests = first["sequence"].removals
    return xr.Dataset(
        {
            "error": variable(
                ("way", "repeat"),
                [scores["error"][w] for w in ways],
                "error on held-out systems over their deviation",
            ),
            "residual": variable(
                ("way", "repeat"),
                [scores["residual"][w] for w in ways],
                "mean size of residuals of the removed systems",
            ),
            "parameters": variable(
                ("way", "feature"),
                [models_by_way[w][0].parameters[:, 0, 0] for w in ways],
                "parameters of the first repeat",
            ),
            "epochs": variable("request", [r.epochs for r in requests], "epochs of the request"),
            "gap": variable("request", [r.gap for r in requests], "gap before the request"),
            "batch_epochs": variable(
                (), first["batch"].removals[0].epochs, "epochs of removing all at once"
            ),
            "anew_epochs": variable((), first["batch"].learnt, "epochs of learning anew"),
        },
        coords={
            "way": variable("way", np.array(ways, dtype=np.str_), "how parameters came about"),
            "request": variable(
                "request", [r.records[0] for r in requests], "number of the removed system"
            ),
        },
    )


def _metrics(
    readout: Readout,
    scores: dict[str, dict[str, list[float]]],
    first: dict[str, Holder],
    tested: int,
) -> dict[str, Any]:
    sequence = [r.epochs for r in first["sequence"].removals]
    batch, anew = first["batch"].removals[0].epochs, readout.learnt
    means: dict[str, float] = {}
    for name, ways in scores.items():
        for way, values in ways.items():
            means[f"{name}_{way}"] = float(np.mean(values))
            if way != "noiseless":
                error = np.std(values, ddof=1) / math.sqrt(len(values))
                means[f"{name}_{way}_standard_error"] = float(error)
    listed = " + ".join(str(k) for k in sequence)
    return {
        "epsilon": max(r.epsilon for h in first.values() for r in h.removals),
        "delta": readout.goal.delta,
        "sigma": readout.sigma,
        "epochs_sequence": sum(sequence),
        "epochs_batch": batch,
        "epochs_anew": anew,
        "systems_removed": len(sequence),
        "heldout_systems": tested,
        **means,
        "statement": f"to epsilon = {readout.goal.epsilon:g}, removing {len(sequence)} systems one "
        f"by one takes {listed} epochs, all at once {batch}; learning anew takes {anew}",
    }
