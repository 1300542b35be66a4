"""Training by Adam, whose moments are kept for the influence of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad_and_value

from popinv.errors import ConfigError, DivergenceError
from popinv.optimisation.adam import BETAS, EPSILON, adam
from popinv_papers.influence.influence import Losses, Samples, Step, adam_step
from popinv_papers.kit.training import epoch_rows


@dataclass(frozen=True)
class AdamSettings:
    """Settings: learning rate, batch size, decoupled decay, and the address of draws.

    Attributes
    ----------
    longest : float
        Length to which a gradient is cut.
    whole_batches : bool
        True leaves out the samples of an epoch that do not fill a batch.
    """

    rate: float = 3e-3
    batch_size: int = 64
    weight_decay: float = 0.0
    betas: tuple[float, float] = BETAS
    epsilon: float = EPSILON
    seed: int = 0
    stage: str = "influence"
    longest: float = math.inf
    whole_batches: bool = False


@dataclass(frozen=True)
class AdamState:
    """Weights, both moments, and number of steps."""

    theta: Tensor
    first_moment: Tensor
    second_moment: Tensor
    updates: int

    def frozen_step(self, settings: AdamSettings) -> Step:
        """Return the next step with the current second moment."""
        return adam_step(
            self.theta,
            self.first_moment,
            self.second_moment,
            self.updates,
            settings.betas,
            settings.epsilon,
            settings.weight_decay,
        )


def begin(theta: Tensor) -> AdamState:
    """Return the state before the first step."""
    return AdamState(theta, torch.zeros_like(theta), torch.zeros_like(theta), 0)


def step(
    state: AdamState, gradient: Tensor, settings: AdamSettings, rate: float | None = None
) -> AdamState:
    """Make one step of Adam with decoupled decay (Loshchilov and Hutter, ICLR 2019)."""
    rate = settings.rate if rate is None else rate
    updates = state.updates + 1
    first, second, mean, root = adam(
        gradient,
        state.first_moment,
        state.second_moment,
        updates,
        betas=settings.betas,
        epsilon=settings.epsilon,
    )
    move = mean / root + settings.weight_decay * state.theta
    return AdamState(state.theta - rate * move, first, second, updates)


def train(
    losses: Losses,
    state: AdamState,
    samples: Samples,
    settings: AdamSettings,
    steps: int,
    weights: Tensor | None = None,
    decay: bool = True,
) -> AdamState:
    """Make a number of steps on batches of the samples, with a new order in each epoch.

    Parameters
    ----------
    weights : Tensor of shape (n,), optional
        Weight of each sample's loss, of mean 1; by default equal.
    decay : bool
        True lets the learning rate fall linearly to zero over the steps.
    """

    def rate(number: int) -> float:
        return settings.rate * (1 - number / steps) if decay else settings.rate

    return descend(losses, state, samples, settings, range(steps), rate, weights)[0]


def descend(
    losses: Losses,
    state: AdamState,
    samples: Samples,
    settings: AdamSettings,
    numbers: Iterable[int],
    rate: Callable[[int], float],
    weights: Tensor | None = None,
) -> tuple[AdamState, list[float]]:
    """Make some steps of a training; the batch of a step is a function of its number.

    Parameters
    ----------
    numbers : iterable of int
        Numbers of the steps, from 0 for the first of the training.
    rate : callable
        Maps a step's number to its learning rate.
    weights : Tensor of shape (n,), optional
        As in :func:`train`.

    Returns
    -------
    state : AdamState
    values : list of float
        The loss on each batch before the step.

    Raises
    ------
    ConfigError
        If there are no samples.
    DivergenceError
        If the loss is not finite.
    """
    count = len(samples[0])
    if not count:
        raise ConfigError("there are no samples to train on")
    shares = torch.ones(count) if weights is None else weights
    shares = shares.to(state.theta.dtype)
    of_batch = grad_and_value(lambda theta, share, *batch: (share * losses(theta, *batch)).mean())
    address = settings.seed, f"{settings.stage}/batches"
    values = []
    for number in numbers:
        rows = epoch_rows(count, settings.batch_size, number, *address, settings.whole_batches)
        index = torch.from_numpy(rows)
        gradient, value = of_batch(state.theta, shares[index], *(t[index] for t in samples))
        if not torch.isfinite(value):
            raise DivergenceError(
                f"the loss is {float(value)} after {state.updates} steps at a learning rate of "
                f"{settings.rate:g}; lower it"
            )
        gradient = gradient.detach()
        if math.isfinite(settings.longest):
            gradient = gradient / max(1.0, float(gradient.norm()) / settings.longest)
        state = step(state, gradient, settings, rate(number))
        values.append(float(value))
    return state, values
