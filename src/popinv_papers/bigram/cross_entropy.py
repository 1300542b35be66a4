r"""The bigram model with cross-entropy loss, for independent symbols.

.. math::
    L(W) = -\sum_i \pi_i \sum_j \pi_j \log \operatorname{softmax}(W_i)_j, \qquad W_0 = 0.

Every context has the same target pi. Under gradient descent the row of context i moves with the
step eta pi_i. Under sign descent all rows move equally, so one row is enough. The paper treats this
case by an experiment only, without theory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv.store.variables import variable
from popinv_papers.bigram.curves import METHODS
from popinv_papers.bigram.power_law import check_power_law, frequencies
from popinv_papers.kit.kept import kept

TARGET = 0.3
"""The relative cross-entropy to reach."""

# Neighbouring steps of the grid differ by a factor 2^(1/4).
_PER_OCTAVE = 4


def _excess(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the Kullback-Leibler divergence of each row's softmax from the target."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normaliser = np.log(np.exp(shifted).sum(axis=-1))
    return normaliser - shifted @ target + (target * np.log(target)).sum()


def _probabilities(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def gradient_losses(size: int, exponent: float, step: float, steps: int) -> np.ndarray:
    """Return the relative loss after 0, ..., T steps of gradient descent, shape (T + 1,)."""
    check_power_law(size, exponent)
    target = frequencies(size, exponent)
    logits, losses = np.zeros((size, size)), np.empty(steps + 1)
    for t in range(steps + 1):
        losses[t] = target @ _excess(logits, target)
        logits -= step * target[:, None] * (_probabilities(logits) - target)
    return losses / losses[0]


def sign_losses(size: int, exponent: float, step: float, steps: int) -> np.ndarray:
    """Return the relative loss after 0, ..., T steps of sign descent, shape (T + 1,)."""
    check_power_law(size, exponent)
    target = frequencies(size, exponent)
    logits, losses = np.zeros(size), np.empty(steps + 1)
    for t in range(steps + 1):
        losses[t] = _excess(logits, target)
        logits -= step * np.sign(_probabilities(logits) - target)
    return losses / losses[0]


def best_losses(
    method: str, size: int, exponent: float, steps: int, octaves: tuple[int, int]
) -> np.ndarray:
    """Return the smallest relative loss at each horizon over a grid of steps, shape (T + 1,).

    The grid of steps reaches from 2^low to 2^high.
    """
    run = {"gradient": gradient_losses, "sign": sign_losses}[method]
    grid = 2.0 ** (np.arange(octaves[0] * _PER_OCTAVE, octaves[1] * _PER_OCTAVE + 1) / _PER_OCTAVE)
    name = f"cross-entropy {method} {size} {exponent:g} {steps}"

    def losses_at(step: float) -> np.ndarray:
        part = kept(f"{name} {step!r}", lambda: {"losses": run(size, exponent, step, steps)})
        return part["losses"]

    bar = tqdm(grid.tolist(), desc=name, unit="rate", disable=None)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = [losses_at(step) for step in bar]
    return np.nanmin(losses, axis=0)


def cross_entropy_steps(sizes: Sequence[int]) -> xr.Dataset:
    """Return the steps to :data:`TARGET` at exponent 1, each horizon with its best step.

    A method that does not get there within four times the vocabulary (gradient descent) or 400
    steps (sign descent) has NaN.
    """
    steps = np.full((len(METHODS), len(sizes)), np.nan)
    for row, method in enumerate(METHODS):
        for column, size in enumerate(sizes):
            most = 4 * size if method == "gradient" else 400
            # The softmax is curved by at most a half, so that 2/pi_1 is the largest useful step.
            octaves = (-2, int(np.log2(size)) + 4) if method == "gradient" else (-10, 3)
            losses = best_losses(method, size, 1.0, most, octaves)
            reached = np.flatnonzero(losses <= TARGET)
            if len(reached):
                steps[row, column] = reached[0]
    return xr.Dataset(
        {
            f"cross_entropy_steps_{method}": variable(
                "cross_entropy_size", steps[row], f"steps of {method} descent, cross-entropy"
            )
            for row, method in enumerate(METHODS)
        },
        coords={
            "cross_entropy_size": variable(
                "cross_entropy_size", list(sizes), "size of the vocabulary"
            )
        },
        attrs={"target": TARGET},
    )
