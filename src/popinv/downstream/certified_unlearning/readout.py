"""A read-out of a study's observations, from which systems are removed under certificate.

The read-out predicts one observed quantity of a system from its others, as if that sensor had
failed: a linear model, learnt with the Huber loss. What it learns from one system may depend on
that system alone. So the scale of what is observed comes from reference systems that were set aside
beforehand: half of the held-out ones, which the read-out neither learns from nor is tested on, and
which cannot be removed.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.artefacts import variable
from popinv.downstream.certified_unlearning.accountant import Setting
from popinv.downstream.certified_unlearning.certificate import certificate
from popinv.downstream.certified_unlearning.descent import Model, Noise, run
from popinv.downstream.certified_unlearning.losses import Huber, setting_of
from popinv.downstream.certified_unlearning.records import Partition, Records
from popinv.downstream.certified_unlearning.requests import Goal, Holder, learn, relearn, remove
from popinv.downstream.certified_unlearning.scale import scale_of
from popinv.errors import ConfigError, DataError

__all__ = ["Readout", "forget", "forget_systems", "prepare"]

_NOISES = {
    "seeded": "That of the study's seed: whoever has the seed can take it away, so that the "
    "guarantee protects from nobody else.",
    "secret": "Drawn anew, and its seed forgotten.",
}
_COVERS = (
    "The parameters of the read-out, which predicts {what} from the other observed quantities of a "
    "system. Not covered: the study's law, noise and surrogate, which learnt from all systems and "
    "still hold what they learnt. The scale of the observations comes from reference systems that "
    "cannot be removed."
)


@dataclass(frozen=True)
class Readout:
    """What a read-out is learnt from, and to what certificate."""

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
    """Return the records, and the noise and the epochs of learning that the goal asks for.

    The noise is the smallest with which removing one system, wherever it is, takes at most
    ``epochs``. Learning takes as long as the start may matter, to the same epsilon and delta.
    Places are added so that the batches are full; they stay empty.
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


def forget_systems(
    observations: xr.Dataset, asked: Mapping[str, Any], seed: int
) -> tuple[xr.Dataset, dict[str, Any], dict[str, dict[str, Any]]]:
    """Remove systems from a read-out of a study's observations; see :func:`forget`.

    Parameters
    ----------
    observations : Dataset
        ``y`` and ``y_heldout``; ``system_id`` names the systems where it is there.
    asked : mapping
        ``downstream.certified_unlearning`` of the study.
    seed : int
        The study's.
    """
    given = dict(asked)
    systems, repeats, noise = (given.pop(key) for key in ("systems", "repeats", "noise"))
    aside = observations["y_heldout"].values
    half = len(aside) // 2
    y = observations["y"].values
    target, components = given.pop("observation"), given.pop("components")
    scale = scale_of(aside[:half], y.shape[1] // 2 if target is None else target, components)
    given["batch"] = given.pop("batch_size")
    readout = prepare(scale.features(y), scale.targets(y), seed, **given)
    names = None
    if "system_id" in observations.coords:
        names = [str(name) for name in observations["system_id"].values]
    return forget(
        readout,
        len(y),
        (scale.features(aside[half:]), scale.targets(aside[half:])),
        systems,
        repeats,
        seed if noise == "seeded" else secrets.randbits(62),
        what=f"observed quantity {scale.target}",
        noise=_NOISES[noise],
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
    what: str,
    noise: str,
    names: Sequence[str] | None = None,
) -> tuple[xr.Dataset, dict[str, Any], dict[str, dict[str, Any]]]:
    """Remove systems one by one and at once, and learn anew without them.

    Parameters
    ----------
    readout : Readout
    count : int
        Systems, without the places that only fill the last batch.
    heldout : (ndarray of shape (n, d), ndarray of shape (n, 1))
        Features and targets of systems that the read-out never sees.
    systems : sequence of int
    repeats : int
        Times that all is done again with other noise; the first is the one that is certified.
    noise_seed : int
    what, noise : str
        In words, for the certificate: what is predicted, and where the noise comes from.
    names : sequence of str, optional
        Of the systems.

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
    found: dict[str, list[Model]] = {}
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
            "learnt": held.model, "sequence": one_by_one.model, "batch": at_once.model,
            "anew": anew,
        }.items():  # fmt: skip
            found.setdefault(way, []).append(model)
        if repeat == 0:
            first = {"sequence": one_by_one, "batch": at_once}
    quiet = Noise(0.0, noise_seed, "certified_unlearning/quiet")
    left = first["batch"].records
    start = Model(np.zeros((*whole.shape, 1)))
    exact = run(start, left, readout.loss, readout.setting, quiet, 2 * readout.learnt)
    found["noiseless"] = [exact] * repeats
    removed = [whole.record(system) for system in systems]
    gone, targets = (np.array(part) for part in zip(*removed, strict=True))
    scores = {
        "error": {way: [_error(m, *tested) for m in models] for way, models in found.items()},
        "residual": {
            way: [float(np.abs(gone @ m.parameters[:, :, 0] - targets).mean()) for m in models]
            for way, models in found.items()
        },
    }
    result = _dataset(scores, first, found)
    metrics = _metrics(readout, scores, first, len(tested[0]))
    documents = {
        way: certificate(holder, noise=noise, names=names, covers=_COVERS.format(what=what))
        for way, holder in first.items()
    }
    return result, metrics, documents


def _error(model: Model, features: np.ndarray, targets: np.ndarray) -> float:
    """Root mean square error over the targets' deviation: 1 is what their mean would give."""
    difference = features @ model.parameters[:, :, 0] - targets
    return float(np.sqrt((difference**2).mean()) / targets.std())


def _dataset(
    scores: dict[str, dict[str, list[float]]],
    first: dict[str, Holder],
    found: dict[str, list[Model]],
) -> xr.Dataset:
    ways = list(found)
    requests = first["sequence"].removals
    return xr.Dataset(
        {
            "error": variable(
                ("way", "repeat"), [scores["error"][w] for w in ways],
                "error on held-out systems over their deviation",
            ),
            "residual": variable(
                ("way", "repeat"), [scores["residual"][w] for w in ways],
                "mean size of residuals of the removed systems",
            ),
            "parameters": variable(
                ("way", "feature"), [found[w][0].parameters[:, 0, 0] for w in ways],
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
    )  # fmt: skip


def _metrics(
    readout: Readout,
    scores: dict[str, dict[str, list[float]]],
    first: dict[str, Holder],
    tested: int,
) -> dict[str, Any]:
    sequence = [r.epochs for r in first["sequence"].removals]
    batch, anew = first["batch"].removals[0].epochs, readout.learnt
    metrics: dict[str, Any] = {
        "epsilon": max(r.epsilon for h in first.values() for r in h.removals),
        "delta": readout.goal.delta,
        "sigma": readout.sigma,
        "epochs_sequence": sum(sequence),
        "epochs_batch": batch,
        "epochs_anew": anew,
        "systems_removed": len(sequence),
        "heldout_systems": tested,
    }
    for name, ways in scores.items():
        for way, values in ways.items():
            metrics[f"{name}_{way}"] = float(np.mean(values))
            if way != "noiseless":
                error = np.std(values, ddof=1) / math.sqrt(len(values))
                metrics[f"{name}_{way}_standard_error"] = float(error)
    listed = " + ".join(str(k) for k in sequence)
    metrics["statement"] = (
        f"to epsilon = {readout.goal.epsilon:g}, removing {len(sequence)} systems one by one takes "
        f"{listed} epochs, all at once {batch}; learning anew takes {anew}"
    )
    return metrics
