r"""Projected noisy stochastic gradient descent over a fixed cyclic partition.

One iteration on the batch B is

.. math::
    w \leftarrow \Pi_R \Big( w - \eta \Big[ \frac1b \sum_{i \in B} \nabla \ell_i(w) + m w \Big]
    + \sqrt{2 \eta \sigma^2} \, N(0, I) \Big).

An epoch goes through the batches once, in their order. Learning and unlearning are the same
iteration on different records. Only the parameters are kept, in the precision of the features.

Source: the paper, Algorithm 1 and Section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import ConfigError, DivergenceError
from popinv.methods.certificate.accountant import Setting
from popinv.methods.certificate.losses import Loss
from popinv.methods.certificate.records import Batch, Records
from popinv.seeds import generator


@dataclass(frozen=True)
class Noise:
    """The noise of each epoch, a function of (seed, stage, epoch).

    Attributes
    ----------
    sigma : float or ndarray of shape (r,)
        One number for all runs, or one for each.
    seed : int
        Anyone who knows it can subtract the noise; see ``requests``.
    stage : str
    """

    sigma: float | np.ndarray
    seed: int
    stage: str


@dataclass(frozen=True)
class Model:
    """Parameters (d, k, r) of r independent runs on the same partition, and past epochs."""

    parameters: np.ndarray
    epochs: int = 0


def project(parameters: np.ndarray, radius: float) -> np.ndarray:
    """Return each run's nearest point of the ball. Points inside stay where they are."""
    if radius == math.inf:
        return parameters
    lengths = np.sqrt((parameters**2).sum(axis=(0, 1)))
    return parameters * np.minimum(1, radius / np.maximum(lengths, 1e-300))


def start(records: Records, setting: Setting, noise: Noise, runs: int) -> Model:
    """Return the start, N(0, 2 sigma^2/m) projected on the ball, or 0 without strong convexity."""
    shape = (*records.shape, runs)
    if setting.strong == 0:
        return Model(np.zeros(shape, dtype=records.dtype))
    draw = generator(noise.seed, f"{noise.stage}/start").standard_normal(shape)
    width = np.sqrt(2 / setting.strong) * noise.sigma
    return Model(project(width * draw, setting.radius).astype(records.dtype))


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
    model: Model, records: Records, loss: Loss, setting: Setting, noise: Noise, epochs: int
) -> Model:
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
