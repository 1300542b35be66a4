r"""Removal of records with a certificate.

The guarantee after each request compares two laws of the parameters: the current law, and the law
after learning again without the removed records, from the same start over the same partition for
the same total number of epochs. The two laws differ by a Rényi divergence of order a of at most A
a, for all a > 1 in both directions, and hence by (epsilon, delta). Both runs have the same number
of epochs, so the gap of Lemma 3.3 bounds their distance whether or not learning has converged.
Theorem 3.11 carries the gap from one request to the next.

A certificate is a JSON file that says which records are removed, and the guarantee. The file holds
everything from which the guarantee follows, so that :func:`verify` can check it. The file does not
hold the noise: anyone who can rebuild the noise can subtract it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from popinv.errors import ConfigError, DataError, PopinvError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import Form, Setting
from popinv.methods.certificate.descent import (
    EpochNoise,
    IndependentRuns,
    Loss,
    Partition,
    Records,
    run,
    start,
)
from popinv.store.whole_files import write_text

_VERSION = 1

_ASSUMPTIONS = (
    "Each record's loss is m-strongly convex and L-smooth, the learning rate at most 1/L.",
    "Gradients of two records differ by at most 2 M everywhere (M where places stay empty).",
    "Learning, unlearning and retraining go through the same batches in the same order.",
    "The noise of every iteration is normal, independent, and unknown to the observer.",
    "Which records are removed does not depend on parameters that were published.",
    "The observer sees the parameters after a request, not those before it as well.",
    "Features and targets of one record do not depend on other records.",
)


@dataclass(frozen=True)
class Goal:
    """The guarantee that every request must reach, in a form of ``accountant``.

    Requests that need more than ``most_epochs`` are refused.
    """

    epsilon: float
    delta: float
    form: Form = "exact"
    most_epochs: int | None = None


@dataclass(frozen=True)
class Removal:
    """A served request.

    It is ``replaced`` if other records took the places, which otherwise stay empty. The counts give
    the number of removed records in each batch. ``own_gap`` is due to this request alone, and
    ``gap`` also to the remaining gaps of earlier requests. The divergence of order a is at most the
    coefficient times a.
    """

    records: tuple[int, ...]
    replaced: bool
    counts: tuple[int, ...]
    own_gap: float
    gap: float
    epochs: int
    goal: Goal
    coefficient: float
    epsilon: float


@dataclass(frozen=True)
class Holder:
    """A model and everything needed to serve requests; ``left`` is the remaining gap."""

    model: IndependentRuns
    records: Records
    loss: Loss
    setting: Setting
    noise: EpochNoise
    learnt: int
    left: float = 0.0
    removals: tuple[Removal, ...] = ()

    @property
    def sigma(self) -> float:
        """The noise, as one number."""
        return float(self.noise.sigma)

    @property
    def parameters_sha256(self) -> str:
        """Hash of the parameters, in double precision."""
        content = np.ascontiguousarray(self.model.parameters, dtype="<f8").tobytes()
        return hashlib.sha256(content).hexdigest()


def learn(
    records: Records, loss: Loss, setting: Setting, noise: EpochNoise, epochs: int, runs: int
) -> Holder:
    """Return a model for which requests can be served, of one or more runs with their own noise.

    Raises
    ------
    ConfigError
        If the guarantee does not cover the loss or the noise.
    """
    if loss.steepness == math.inf:
        raise ConfigError("gradients of this loss have no bound: clip the targets (Linear)")
    if np.ndim(noise.sigma) or not float(noise.sigma) > 0:
        raise ConfigError(
            f"sigma is {noise.sigma}, must be one positive number: the guarantee rests on the noise"
        )
    model = run(start(records, setting, noise, runs), records, loss, setting, noise, epochs)
    return Holder(model, records, loss, setting, noise, epochs)


def relearn(holder: Holder, noise: EpochNoise) -> IndependentRuns:
    """Return the reference of the guarantee: retraining on the remaining records, other noise."""
    runs = holder.model.parameters.shape[2]
    first = start(holder.records, holder.setting, noise, runs)
    return run(first, holder.records, holder.loss, holder.setting, noise, holder.model.epochs)


def remove(
    holder: Holder,
    records: Sequence[int],
    goal: Goal,
    replacements: tuple[np.ndarray, np.ndarray] | None = None,
    bound: float = 1.0,
) -> Holder:
    """Return the model without some records, removed to the goal in one request.

    The choice of the records, which have numbers from 0, must not depend on the parameters. The
    replacements (s, d) and (s, k) fill the places, which otherwise stay empty; the constants assume
    features no longer than ``bound``.

    Raises
    ------
    ConfigError
        If the guarantee does not cover the request: records that do not exist or were removed;
        replacements that are too long or that the constants exclude; more epochs than allowed.
    """
    asked, n = tuple(int(record) for record in records), holder.setting.n
    if not asked or len(set(asked)) != len(asked) or not all(0 <= r < n for r in asked):
        raise ConfigError(
            f"records to remove are {list(asked)}: must be different numbers from 0 to {n - 1}"
        )
    gone = [record for record in asked if not holder.records.filled(record)]
    if gone:
        raise ConfigError(f"records {gone} are not there: removed before, or never filled")
    if replacements is not None:
        _check_replacements(holder, asked, replacements, bound)
    setting, counts = holder.setting, holder.records.partition.counts(asked)
    own_gap = setting.gap_of(counts)
    gap = min(holder.left + own_gap, setting.widest)
    epochs = setting.epochs_for(goal.epsilon, goal.delta, gap, holder.sigma, goal.form)
    if goal.most_epochs is not None and epochs > goal.most_epochs:
        raise ConfigError(
            f"removing {len(asked)} records to epsilon = {goal.epsilon:g} takes {epochs} epochs, "
            f"at most {goal.most_epochs} are allowed: allow more, a larger epsilon, or learn with "
            "more noise"
        )
    left = holder.records
    for i, record in enumerate(asked):
        if replacements is None:
            left = left.emptied(record)
        else:
            left = left.replaced(record, replacements[0][i], replacements[1][i])
    coefficient = setting.coefficient(gap, holder.sigma, epochs, goal.form)
    served = Removal(
        asked,
        replacements is not None,
        tuple(int(c) for c in counts),
        own_gap,
        gap,
        epochs,
        goal,
        coefficient,
        privacy.epsilon(coefficient, goal.delta),
    )
    return replace(
        holder,
        model=run(holder.model, left, holder.loss, setting, holder.noise, epochs),
        records=left,
        left=setting.shrunk(gap, epochs),
        removals=(*holder.removals, served),
    )


def _check_replacements(
    holder: Holder,
    asked: tuple[int, ...],
    replacements: tuple[np.ndarray, np.ndarray],
    bound: float,
) -> None:
    if holder.setting.emptied:
        raise ConfigError(
            "the constants are for places that stay empty, where gradients differ by M. A "
            "replacement may differ by 2 M: learn with emptied=False"
        )
    d, k = holder.records.shape
    features, targets = replacements
    if features.shape != (len(asked), d) or targets.shape != (len(asked), k):
        raise ConfigError(
            f"replacements have the shapes {features.shape} and {targets.shape}, must have "
            f"{(len(asked), d)} and {(len(asked), k)}"
        )
    longest = float(np.sqrt((features**2).sum(axis=1).max()))
    if not longest <= bound * (1 + 1e-9):
        raise ConfigError(
            f"a replacement has a feature of length {longest:g}, but the guarantee is for at most "
            f"{bound:g}"
        )


class _Part(BaseModel):
    """A part of a certificate that is read."""

    model_config = ConfigDict(frozen=True, strict=True)


class _Version(_Part):
    """The version, which says what else a certificate holds."""

    version: int


class _Constants(_Part, extra="forbid"):
    """The constants of the setting, the noise and the epochs of learning."""

    n: int
    batch: int
    rate: float
    strong: float
    smooth: float
    lipschitz: float
    radius: float | None
    emptied: bool
    sigma: float
    loss: str
    learning_epochs: int

    def setting(self) -> Setting:
        """Return the setting; null is the infinite radius."""
        given = self.model_dump(include={field.name for field in fields(Setting)})
        return Setting(**given | {"radius": math.inf if self.radius is None else self.radius})


class _Partition(_Part, extra="forbid"):
    """A partition, and the hash of its order."""

    n: int
    batch: int
    seed: int
    stage: str
    sha256: str


class _Request(_Part):
    """A request, without the names of its records."""

    records: list[int]
    places: str
    by_batch: dict[str, int]
    own_gap: float
    gap: float
    epochs: int
    form: Form
    coefficient: float
    delta: float
    epsilon: float
    epsilon_asked: float


class _Certificate(_Part):
    """What the guarantee follows from."""

    constants: _Constants
    partition: _Partition
    requests: list[_Request]
    epochs: int
    remaining_records_sha256: str


def certificate(
    holder: Holder, *, noise: str, names: Sequence[str | int] | None = None, covers: str = ""
) -> dict[str, Any]:
    """Return the certificate of all requests that a model has served.

    In words, ``noise`` is the origin of the noise, and who can rebuild it, and ``covers`` what was
    learnt from the records, and what the certificate does not cover. By default the names of the
    records are their numbers.
    """
    setting, partition = holder.setting, holder.records.partition
    constants = asdict(setting)
    constants["radius"] = None if setting.radius == math.inf else setting.radius
    return {
        "certificate": "removal of records by projected noisy stochastic gradient descent",
        "version": _VERSION,
        "statement": _statement(holder),
        "covers": covers,
        "assumptions": list(_ASSUMPTIONS),
        "constants": constants
        | {"sigma": holder.sigma, "loss": repr(holder.loss), "learning_epochs": holder.learnt},
        "partition": asdict(partition) | {"sha256": partition.sha256},
        "noise": noise,
        "requests": [_request(removal, names) for removal in holder.removals],
        "epochs": holder.model.epochs,
        "remaining_records_sha256": holder.records.sha256,
        "parameters_sha256": holder.parameters_sha256,
    }


def _statement(holder: Holder) -> str:
    if not holder.removals:
        return "No record was removed."
    last = holder.removals[-1]
    count = sum(len(removal.records) for removal in holder.removals)
    there = int(sum(batch.filled.sum() for batch in holder.records.batches))
    there += sum(len(removal.records) for removal in holder.removals if not removal.replaced)
    return (
        f"After {len(holder.removals)} requests, which removed {count} of {there} "
        f"records, the parameters are ({last.epsilon:.4g}, {last.goal.delta:.4g})-"
        "indistinguishable, in both directions, from parameters learned anew without these "
        f"records, for {holder.model.epochs} epochs from the same random start over the same "
        f"partition; the Renyi divergence of every order a > 1 is at most {last.coefficient:.4g} a."
    )


def _request(removal: Removal, names: Sequence[str | int] | None) -> dict[str, Any]:
    return {
        "records": list(removal.records),
        "names": [r if names is None else names[r] for r in removal.records],
        "places": "filled by other records" if removal.replaced else "left empty",
        "by_batch": {str(j): count for j, count in enumerate(removal.counts) if count},
        "own_gap": removal.own_gap,
        "gap": removal.gap,
        "epochs": removal.epochs,
        "form": removal.goal.form,
        "coefficient": removal.coefficient,
        "delta": removal.goal.delta,
        "epsilon": removal.epsilon,
        "epsilon_asked": removal.goal.epsilon,
    }


def write_certificate(document: Mapping[str, Any], path: Path) -> None:
    """Write a certificate as JSON, after a check."""
    verify(document)
    write_text(path, json.dumps(document, indent=2) + "\n")


def verify(document: Mapping[str, Any], records: Records | None = None) -> None:
    """Check a certificate by recomputing it from its constants, and compare the remaining records.

    Raises
    ------
    DataError
        If a number or place does not follow; the message names the first one.
    """
    try:
        version = _Version.model_validate(document).version
        if version != _VERSION:
            raise DataError(f"the certificate's version is {version}, not {_VERSION}")
        read = _Certificate.model_validate(document)
        _follow(read)
        if records is not None and records.sha256 != read.remaining_records_sha256:
            raise DataError("the records are not those that the certificate says are left")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(key) for key in first["loc"])
        raise DataError(f"the certificate is not complete: {place}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"the certificate is not complete: {error!r}") from error
    except DataError:
        raise
    except PopinvError as error:
        raise DataError(f"the certificate's constants give no guarantee: {error}") from error


def _follow(read: _Certificate) -> None:
    setting, placed = read.constants.setting(), read.partition
    partition = Partition(placed.n, placed.batch, placed.seed, placed.stage)
    same = (partition.n, partition.batch) == (setting.n, setting.batch)
    if partition.sha256 != placed.sha256 or not same:
        raise DataError("the partition does not follow from its seed, or not from the constants")
    left, epochs = 0.0, read.constants.learning_epochs
    gone: set[int] = set()
    for number, request in enumerate(read.requests, start=1):
        records = request.records
        counts = partition.counts(records)
        if {str(j): int(c) for j, c in enumerate(counts) if c} != request.by_batch:
            raise DataError(f"request {number}: the records are not in the batches that it names")
        if request.places == "left empty":
            if gone & set(records) or len(set(records)) != len(records):
                raise DataError(f"request {number}: a record is removed twice")
            gone |= set(records)
        elif setting.emptied:
            raise DataError(f"request {number}: the constants are for places that stay empty")
        own = setting.gap_of(counts)
        gap = min(left + own, setting.widest)
        sigma = read.constants.sigma
        coefficient = setting.coefficient(gap, sigma, request.epochs, request.form)
        epsilon = privacy.epsilon(coefficient, request.delta)
        follow = {"own_gap": own, "gap": gap, "coefficient": coefficient, "epsilon": epsilon}
        for name, value in follow.items():
            given = getattr(request, name)
            if not math.isclose(value, given, rel_tol=1e-9, abs_tol=1e-300):
                raise DataError(
                    f"request {number}: {name} is given as {given:g}, follows as {value:g}"
                )
        if epsilon > request.epsilon_asked * (1 + 1e-9):
            raise DataError(
                f"request {number}: epsilon = {epsilon:g} is more than was requested, "
                f"{request.epsilon_asked:g}"
            )
        left = setting.shrunk(gap, request.epochs)
        epochs += request.epochs
    if epochs != read.epochs:
        raise DataError(f"{read.epochs} epochs in all, but the requests add up to {epochs}")
