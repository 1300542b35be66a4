"""Records in the batches of a fixed partition.

The partition is drawn once and belongs to the model. Learning, unlearning and the retraining with
which both are compared use the same batches in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from popinv.errors import ConfigError
from popinv.seeds import generator


@dataclass(frozen=True)
class Partition:
    """A partition of n records into batches of ``batch``, determined by (seed, stage).

    The stage is the address of the random order.
    """

    n: int
    batch: int
    seed: int
    stage: str

    @cached_property
    def order(self) -> np.ndarray:
        """Records in the order of an epoch, shape (n,)."""
        return generator(self.seed, f"{self.stage}/partition").permutation(self.n)

    @cached_property
    def _places(self) -> np.ndarray:
        places = np.empty(self.n, dtype=int)
        places[self.order] = np.arange(self.n)
        return places

    def place(self, record: int) -> tuple[int, int]:
        """Return the batch of a record and its place in the batch."""
        batch, place = divmod(int(self._places[record]), self.batch)
        return batch, place

    def counts(self, records: Sequence[int]) -> np.ndarray:
        """Return the number of the given records in each batch."""
        batches = self._places[np.asarray(records, dtype=int)] // self.batch
        return np.bincount(batches, minlength=self.n // self.batch)

    @cached_property
    def sha256(self) -> str:
        """Hash of the order, as little-endian integers of eight bytes."""
        return hashlib.sha256(self.order.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class Batch:
    """Features (b, d), targets (b, k), and 1 or 0 (b,) for filled or empty places."""

    features: np.ndarray
    targets: np.ndarray
    filled: np.ndarray


@dataclass(frozen=True)
class Records:
    """All records, batch by batch. A change returns new records that share the other batches."""

    partition: Partition
    batches: tuple[Batch, ...]

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        targets: np.ndarray,
        partition: Partition,
        filled: np.ndarray | None = None,
    ) -> Records:
        """Divide features (n, d) and targets (n, k) into batches; some places may be empty."""
        if len(features) != partition.n or len(targets) != partition.n:
            raise ConfigError(
                f"{len(features)} features and {len(targets)} targets, but the partition is of "
                f"{partition.n} records"
            )
        parts = partition.order.reshape(-1, partition.batch)
        there = np.ones(partition.n) if filled is None else filled.astype(float)
        return cls(partition, tuple(Batch(features[p], targets[p], there[p]) for p in parts))

    @property
    def shape(self) -> tuple[int, int]:
        """(d, k): features and outputs."""
        first = self.batches[0]
        return first.features.shape[1], first.targets.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The precision of the features, and so of the parameters."""
        return self.batches[0].features.dtype

    def filled(self, record: int) -> bool:
        """Return whether a record has not been removed."""
        batch, place = self.partition.place(record)
        return bool(self.batches[batch].filled[place])

    def record(self, record: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a record's features (d,) and targets (k,); zeros if its place is empty."""
        batch, place = self.partition.place(record)
        return self.batches[batch].features[place], self.batches[batch].targets[place]

    def replaced(self, record: int, feature: np.ndarray, target: np.ndarray) -> Records:
        """Return the records with one replaced."""
        return self._changed(record, feature, target, 1.0)

    def emptied(self, record: int) -> Records:
        """Return the records with one removed and its place left empty."""
        d, k = self.shape
        return self._changed(record, np.zeros(d), np.zeros(k), 0.0)

    def _changed(
        self, record: int, feature: np.ndarray, target: np.ndarray, filled: float
    ) -> Records:
        number, place = self.partition.place(record)
        old = self.batches[number]
        new = Batch(old.features.copy(), old.targets.copy(), old.filled.copy())
        new.features[place], new.targets[place], new.filled[place] = feature, target, filled
        batches = (*self.batches[:number], new, *self.batches[number + 1 :])
        return replace(self, batches=batches)

    @property
    def sha256(self) -> str:
        """Hash of all batches, in double precision."""
        total = hashlib.sha256()
        for batch in self.batches:
            for part in (batch.features, batch.targets, batch.filled):
                total.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return total.hexdigest()
