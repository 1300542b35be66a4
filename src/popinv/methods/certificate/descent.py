r"""Projected noisy stochastic gradient descent of convex losses, over a fixed cyclic partition.

One iteration on the batch B is

.. math::
    w \leftarrow \Pi_R \Big( w - \eta \Big[ \frac1b \sum_{i \in B} \nabla \ell_i(w) + m w \Big]
    + \sqrt{2 \eta \sigma^2} \, N(0, I) \Big).

An epoch goes through the batches once, in their order. The partition is drawn once and belongs to
the model. Learning, unlearning and the retraining with which both are compared are the same
iteration on different records, with the same batches in the same order. Only the parameters are
kept, in the precision of the features.

A record is a feature x and k targets y. With parameters w of shape (d, k) its loss is

.. math:: f(w) = \sum_{j=1}^k \ell(x \cdot w_j; y_j) + \frac{m}{2} |w|^2.

Gradients of the data's part have a length of at most ``steepness`` |x| sqrt(k). The difference of
the gradients of two records contains only these. f is L-smooth with L = ``curvature`` |x|^2 + m.

Source: the paper, Algorithm 1 and Section 3.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from popinv.errors import ConfigError, DivergenceError
from popinv.methods.certificate.accountant import Setting
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

    def emptied(self, record: int) -> Records:
        """Return the records with one removed and its place left empty."""
        d, k = self.shape
        return self.replaced(record, np.zeros(d), np.zeros(k), 0.0)

    def replaced(
        self, record: int, feature: np.ndarray, target: np.ndarray, filled: float = 1.0
    ) -> Records:
        """Return the records with one replaced."""
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


class Loss(Protocol):
    """The loss of one output."""

    @property
    def curvature(self) -> float:
        """The largest second derivative."""

    @property
    def steepness(self) -> float:
        """The largest size of the first derivative."""

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the first derivative in z."""


@dataclass(frozen=True)
class Linear:
    """-y z, with which the regulariser's minimum is the mean of y; ``longest`` bounds |y|."""

    longest: float = 1.0
    curvature: float = 0.0

    @property
    def steepness(self) -> float:
        """The bound on y."""
        return self.longest

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return -y, in the shape of z."""
        return np.broadcast_to(-y, z.shape)


@dataclass(frozen=True)
class EpochNoise:
    """The noise of each epoch, a function of (seed, stage, epoch); each run may have its own sigma.

    Anyone who knows the seed can subtract the noise; see ``requests``.
    """

    sigma: float | np.ndarray
    seed: int
    stage: str


@dataclass(frozen=True)
class IndependentRuns:
    """Parameters (d, k, r) of r independent runs on the same partition, and past epochs."""

    parameters: np.ndarray
    epochs: int = 0


def project(parameters: np.ndarray, radius: float) -> np.ndarray:
    """Return each run's nearest point of the ball. Points inside do not move."""
    if radius == math.inf:
        return parameters
    lengths = np.sqrt((parameters**2).sum(axis=(0, 1)))
    return parameters * np.minimum(1, radius / np.maximum(lengths, 1e-300))


def start(records: Records, setting: Setting, noise: EpochNoise, runs: int) -> IndependentRuns:
    """Return the start, N(0, 2 sigma^2/m) projected on the ball, or 0 without strong convexity."""
    shape = (*records.shape, runs)
    if setting.strong == 0:
        return IndependentRuns(np.zeros(shape, dtype=records.dtype))
    draw = generator(noise.seed, f"{noise.stage}/start").standard_normal(shape)
    width = np.sqrt(2 / setting.strong) * noise.sigma
    return IndependentRuns(project(width * draw, setting.radius).astype(records.dtype))


def iterate(
    parameters: np.ndarray, batch: Batch, loss: Loss, setting: Setting, push: np.ndarray | float
) -> np.ndarray:
    """Return the parameters after one iteration with the noise ``push``."""
    d, k, r = parameters.shape
    values = (batch.features @ parameters.reshape(d, k * r)).reshape(-1, k, r)
    slopes = loss.slope(values, batch.targets[:, :, None]) * batch.filled[:, None, None]
    gradient = (batch.features.T @ slopes.reshape(-1, k * r)).reshape(d, k, r) / setting.batch
    moved = setting.contraction * parameters - setting.rate * gradient + push
    return project(moved, setting.radius)


def run(
    model: IndependentRuns,
    records: Records,
    loss: Loss,
    setting: Setting,
    noise: EpochNoise,
    epochs: int,
) -> IndependentRuns:
    """Return the model after a number of epochs on the records.

    Raises
    ------
    ConfigError
        If the partition of the records does not fit the setting.
    DivergenceError
        If parameters are not finite.
    """
    partition = records.partition
    if (partition.n, partition.batch) != (setting.n, setting.batch):
        raise ConfigError(
            f"{partition.n} records in batches of {partition.batch}, but the constants are for "
            f"{setting.n} in batches of {setting.batch}"
        )
    width = (math.sqrt(2 * setting.rate) * np.asarray(noise.sigma)).astype(records.dtype)
    parameters = model.parameters
    for epoch in range(model.epochs, model.epochs + epochs):
        rng = generator(noise.seed, f"{noise.stage}/noise", epoch)
        for batch in records.batches:
            push = width * rng.standard_normal(parameters.shape, dtype=records.dtype)
            parameters = iterate(parameters, batch, loss, setting, push)
    if not np.isfinite(parameters).all():
        raise DivergenceError("noisy gradient descent reached parameters that are not finite")
    return replace(model, parameters=parameters, epochs=model.epochs + epochs)
