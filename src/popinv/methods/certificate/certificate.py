"""Certificates of removal, as JSON files: the removed records and the guarantee.

A certificate holds everything from which the guarantee follows, so that :func:`verify` can check
it. It does not hold the noise: anyone who can rebuild the noise can subtract it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from popinv.errors import DataError, PopinvError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import Form, Setting
from popinv.methods.certificate.records import Partition, Records
from popinv.methods.certificate.requests import Holder, Removal
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
        "indistinguishable, in both directions, from those of learning anew without these records, "
        f"for {holder.model.epochs} epochs from the same random start over the same partition; the "
        f"Renyi divergence of every order a > 1 is at most {last.coefficient:.4g} a."
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
        raise DataError("the partition is not that of its seed, or not that of the constants")
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
                f"request {number}: epsilon = {epsilon:g} is more than was asked, "
                f"{request.epsilon_asked:g}"
            )
        left = setting.shrunk(gap, request.epochs)
        epochs += request.epochs
    if epochs != read.epochs:
        raise DataError(f"{read.epochs} epochs in all, but the requests add up to {epochs}")
