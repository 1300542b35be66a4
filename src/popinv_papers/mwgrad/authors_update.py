"""The update of the authors' released script, to see what its logs show.

It differs from :mod:`popinv_papers.mwgrad.ensembles` in these points:

- stochastic gradient descent with momentum 0.9 in place of Adam, the rate divided by ten at the
  epochs 15, 30, 45, 60, 75 and 90;
- each coordinate of a task's trunk gradients is scaled to unit length over the networks;
- the weights move by 1e-5 Q w in a step, so they stay near one half;
- the heads move first, and the trunks see the moved heads;
- SVGD's repulsion between logits is divided by the number of networks once more.

The neural velocity is left out: its sign in the script is not that of theory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from popinv.errors import ConfigError, DivergenceError
from popinv_papers.kit.simplex import project
from popinv_papers.mwgrad.ensembles import (
    FEATURE_TEMPERATURE,
    LOGIT_TEMPERATURE,
    Ensemble,
    kernel_of,
    push,
)
from popinv_papers.mwgrad.lenets import features, logits

BATCH, _RATE, _MOMENTUM, _WEIGHT_RATE = 256, 1e-3, 0.9, 1e-5
_FALLS, _FALL = (15, 30, 45, 60, 75, 90), 0.1
_METHODS = ("svgd", "gfsd")


def authors_rate(epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0."""
    return _RATE * _FALL ** sum(epoch >= fall for fall in _FALLS)


def authors_step(
    state: Ensemble, images: torch.Tensor, labels: torch.Tensor, rate: float, method: str
) -> tuple[Ensemble, dict[str, Any]]:
    """Move the networks once; the arguments and the result are those of ``ensembles.step``.

    Raises
    ------
    ConfigError
        For a method other than "svgd" and "gfsd".
    DivergenceError
        If a loss is not finite.
    """
    if method not in _METHODS:
        raise ConfigError(
            f"the authors' update with '{method}': must be one of {', '.join(_METHODS)}"
        )
    trunks = state.trunks.detach().requires_grad_()
    outputs = features(trunks, images)
    losses, moves = _head_moves(state.heads, outputs.detach(), labels, method)
    if not np.isfinite(losses).all():
        raise DivergenceError(
            f"step {state.iteration}: a loss is not finite; take a smaller learning rate"
        )
    trunk_speed, head_speed = state.first_moments
    head_speed = _MOMENTUM * head_speed + moves
    heads = state.heads - rate * head_speed
    gradients = torch.stack(
        [
            normalize(
                torch.autograd.grad(_loss(logits(own, outputs), wanted), trunks, retain_graph=True)[
                    0
                ],
                dim=0,
            )
            for own, wanted in zip(heads, labels, strict=True)
        ]
    )
    kernel = kernel_of(outputs.detach())
    count = len(trunks)
    gram = torch.einsum("kip,lip->kl", gradients, gradients).numpy() / count
    weights = project(state.weights[0] - _WEIGHT_RATE * gram @ state.weights[0])
    merged = torch.einsum("k,kip->ip", torch.from_numpy(weights.astype(np.float32)), gradients)
    if method == "svgd":
        merged = torch.from_numpy((kernel.values / count).astype(np.float32)) @ merged
    pushed = FEATURE_TEMPERATURE * push(method, outputs.detach(), kernel)
    merged = merged + torch.autograd.grad(outputs, trunks, pushed)[0]
    trunk_speed = _MOMENTUM * trunk_speed + merged
    moved = replace(
        state,
        iteration=state.iteration + 1,
        trunks=state.trunks - rate * trunk_speed,
        heads=heads,
        first_moments=(trunk_speed, head_speed),
        weights=np.tile(weights, (count, 1)),
    )
    return moved, {"loss": losses}


def _loss(answers: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return torch.stack([cross_entropy(one, wanted) for one in answers]).sum()


def _head_moves(
    heads: torch.Tensor, outputs: torch.Tensor, labels: torch.Tensor, method: str
) -> tuple[np.ndarray, torch.Tensor]:
    """Return the losses (K,) and the moves of the heads (K, n, H)."""
    losses, moves = [], []
    for own, wanted in zip(heads, labels, strict=True):
        psi = own.detach().requires_grad_()
        answers = logits(psi, outputs)
        loss = _loss(answers, wanted)
        (gradient,) = torch.autograd.grad(loss, psi, retain_graph=True)
        kernel, temperature = kernel_of(answers.detach()), LOGIT_TEMPERATURE
        if method == "svgd":
            gradient = torch.from_numpy((kernel.values / len(own)).astype(np.float32)) @ gradient
            temperature /= len(own)
        pushed = temperature * push(method, answers.detach(), kernel)
        moves.append(gradient + torch.autograd.grad(answers, psi, pushed)[0])
        losses.append(loss.item() / len(own))
    return np.array(losses), torch.stack(moves)
