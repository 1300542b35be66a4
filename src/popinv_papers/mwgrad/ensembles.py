r"""Ensembles of networks that learn two tasks, as particles on two objectives.

Network i has a trunk phi_i, which both tasks share, and a head psi_ki for each task. It takes
36 x 36 grey images. Its trunk has two convolutions (9 x 9 to 10 maps, 5 x 5 to 20 maps), each with
a rectifier and 2 x 2 max-pooling, and a layer of 50 features; a head leads from the features to ten
classes. The 30,890 + 2 x 510 parameters are one particle. The trunks of n networks are the rows of
one array. Their first convolutions are one product of matrices, as all networks see the same image.

L_k is the mean cross-entropy of task k on a minibatch. The networks are particles of a law q, and
objective k is E_q L_k - tau H(q), the divergence from exp(-L_k / tau). A step moves the networks
along

.. math:: \dot\phi = \sum_k w_k v_k, \qquad v_k = -\nabla_\phi L_k - \tau \nabla \log q,

and each head along the velocity of its own task. The repulsion, -grad log q, acts between the
outputs of the networks on the batch, features and logits, and is pulled back to the parameters. In
``neural`` it acts between the parameters of the trunks.

=========  ===================================  ==============================================
method     velocity                             weights w
=========  ===================================  ==============================================
svgd       SVGD                                 one projected step, w <- Proj(w - eta Q w)
gfsd       GFSD, the authors' released "Blob"   the same
neural     learnt density ratio                 the same
mt_sgd     SVGD                                 of least norm
moo_svgd   SVGD                                 of least norm, separately for each network
mgda       -grad L_k, no repulsion              of least norm, separately for each network
equal      -grad L_k, no repulsion              1/2
=========  ===================================  ==============================================

Q is the Gram matrix of the trunks' task gradients: (1/n) sum_i <g_ki, g_li>, and for SVGD
(1/n^2) sum_ij K_ij <g_ki, g_lj>. All methods use Adam, so the size of a velocity does not matter;
SVGD's average over the networks makes it n times smaller.

The update of the authors' released script, to see what its logs show, differs in these points:

- stochastic gradient descent with momentum 0.9 in place of Adam, the rate divided by ten at the
  epochs 15, 30, 45, 60, 75 and 90;
- each coordinate of a task's trunk gradients is scaled to unit length over the networks;
- the weights move by 1e-5 Q w in a step, so they stay near one half;
- the heads move first, and the trunks see the moved heads;
- SVGD's repulsion between logits is divided by the number of networks once more.

The neural velocity is left out of it: its sign in the script is not the theory's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d, cross_entropy, max_pool2d, normalize, relu

from popinv.errors import DivergenceError, require_known
from popinv.optimisation.adam import adam
from popinv.seeds import generator
from popinv_papers.kit.simplex import least_norm, project
from popinv_papers.mwgrad.ensemble_runs import METHODS
from popinv_papers.mwgrad.velocities import (
    Kernel,
    kernel_repulsion,
    median_bandwidth,
    neural_score,
    radial_kernel,
)

TASKS, CLASSES, _FEATURES = 2, 10, 50
# Shape of each layer's weights, with the inputs of an output last. The layer's biases follow.
_SIDE = 9
_TRUNK_LAYERS = ((10, 1, _SIDE, _SIDE), (20, 10, 5, 5), (_FEATURES, 500))
_HEAD_LAYERS = ((CLASSES, _FEATURES),)


def _count(layers: tuple[tuple[int, ...], ...]) -> int:
    return sum(prod(shape) + shape[0] for shape in layers)


TRUNK, HEAD = _count(_TRUNK_LAYERS), _count(_HEAD_LAYERS)


def new_networks(count: int, seed: int, stage: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return trunks (n, TRUNK) and heads (TASKS, n, HEAD) of new networks.

    Weights and biases are uniform within one over the square root of a layer's number of inputs.
    """
    trunks = np.empty((count, TRUNK), dtype=np.float32)
    heads = np.empty((TASKS, count, HEAD), dtype=np.float32)
    for index in range(count):
        rng = generator(seed, stage, index)
        trunks[index] = _new(_TRUNK_LAYERS, rng)
        for task in range(TASKS):
            heads[task, index] = _new(_HEAD_LAYERS, rng)
    return torch.from_numpy(trunks), torch.from_numpy(heads)


def _new(layers: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> np.ndarray:
    return np.concatenate(
        [rng.uniform(-1, 1, prod(shape) + shape[0]) / prod(shape[1:]) ** 0.5 for shape in layers]
    )


def _layers(
    parameters: torch.Tensor, layers: tuple[tuple[int, ...], ...]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weights (n, *shape) and biases (n, outputs) of each layer, as views of (n, P)."""
    parts, start = [], 0
    for shape in layers:
        middle = start + prod(shape)
        end = middle + shape[0]
        weights = parameters[:, start:middle].reshape(-1, *shape)
        parts.append((weights, parameters[:, middle:end]))
        start = end
    return parts


def features(trunks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the features of images (B, 36, 36) by n trunks (n, TRUNK), shape (n, B, 50)."""
    count = len(images)
    (w1, b1), (w2, b2), (w3, b3) = _layers(trunks, _TRUNK_LAYERS)
    patches = images.unfold(1, _SIDE, 1).unfold(2, _SIDE, 1)
    outputs = torch.addmm(
        b1.flatten(), patches.reshape(-1, _SIDE**2), w1.flatten(0, 1).flatten(1).T
    )
    maps = outputs.reshape(*patches.shape[:3], -1).permute(0, 3, 1, 2)
    # The largest of a patch is the same before and after the rectifier, which then has less to do.
    pooled = relu(max_pool2d(maps, 2)).chunk(len(trunks), dim=1)
    each = [
        max_pool2d(conv2d(own, w, b), 2).reshape(count, -1)
        for own, w, b in zip(pooled, w2, b2, strict=True)
    ]
    outputs = relu(torch.stack(each))
    return relu(torch.baddbmm(b3[:, None], outputs, w3.transpose(1, 2)))


def logits(heads: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return one task's logits (n, B, 10) from its heads (n, HEAD) and features (n, B, 50)."""
    ((w, b),) = _layers(heads, _HEAD_LAYERS)
    return torch.baddbmm(b[:, None], outputs, w.transpose(1, 2))


_KERNEL_METHODS = {"svgd": "svgd", "gfsd": "gfsd", "mt_sgd": "svgd", "moo_svgd": "svgd"}
# Temperatures of the repulsion between features and between logits, as in the released code.
FEATURE_TEMPERATURE, LOGIT_TEMPERATURE = 0.0015, 0.25
_NEURAL_STEPS, _NEURAL_WIDTH = 5, 10


@dataclass(frozen=True)
class EnsembleSettings:
    """Settings of the learning.

    Parameters
    ----------
    method : str
        One of ``ensemble_runs.METHODS``.
    weight_rate : float
        eta.
    parameter_temperature : float
        tau of the repulsion between parameters: one over the number of training images, for which
        exp(-L_k / tau) is the likelihood.
    seed : int
        Seed of the random draws.
    """

    method: str
    weight_rate: float = 0.1
    parameter_temperature: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        require_known(self.method, METHODS, f"method '{self.method}'")


@dataclass(frozen=True)
class Ensemble:
    """Trunks (n, P), heads (K, n, H), Adam's moments of both, and weights (n, K)."""

    iteration: int
    trunks: torch.Tensor
    heads: torch.Tensor
    first_moments: tuple[torch.Tensor, torch.Tensor]
    second_moments: tuple[torch.Tensor, torch.Tensor]
    weights: np.ndarray


def begin(networks: int, settings: EnsembleSettings) -> Ensemble:
    """Return new networks with equal weights of the tasks; they are the same for every method."""
    trunks, heads = new_networks(networks, settings.seed, "mwgrad/networks")
    zeros = (torch.zeros_like(trunks), torch.zeros_like(heads))
    return Ensemble(0, trunks, heads, zeros, zeros, np.full((networks, TASKS), 1 / TASKS))


def step(
    state: Ensemble,
    images: torch.Tensor,
    labels: torch.Tensor,
    rate: float,
    settings: EnsembleSettings,
) -> tuple[Ensemble, dict[str, Any]]:
    """Move the networks once, as a pure function of the arguments.

    Parameters
    ----------
    images, labels : Tensor of shape (B, 36, 36), (K, B)

    Returns
    -------
    state : Ensemble
    info : dict
        ``loss`` (K,), the mean over networks before the move.

    Raises
    ------
    DivergenceError
        If a loss is not finite.
    """
    trunks = state.trunks.detach().requires_grad_()
    outputs = features(trunks, images)
    losses, head_moves, cotangents = _of_heads(state, outputs.detach(), labels, settings.method)
    pushed = None
    if settings.method in _KERNEL_METHODS:
        kernel = kernel_of(outputs.detach())
        pushed = FEATURE_TEMPERATURE * push(settings.method, outputs.detach(), kernel)
    weights = state.weights
    if settings.method == "equal":
        mixed = sum(w * cotangent for w, cotangent in zip(weights[0], cotangents, strict=True))
        (move,) = torch.autograd.grad(outputs, trunks, mixed)
    else:
        gradients = np.array(
            [
                torch.autograd.grad(outputs, trunks, c, retain_graph=True)[0].numpy()
                for c in cotangents
            ]
        )
        smoothing = kernel.values if _smooths(settings.method) else None
        weights = _new_weights(weights, gradients, smoothing, settings)
        merged = np.einsum("ik,kip->ip", weights, gradients)
        if smoothing is not None:
            merged = smoothing @ merged / len(merged)
        if settings.method == "neural":
            rng = generator(settings.seed, "mwgrad/ensemble/neural", state.iteration)
            score = neural_score(
                state.trunks.numpy().astype(float), rng, _NEURAL_STEPS, _NEURAL_WIDTH
            )
            merged = merged + settings.parameter_temperature * score
        move = torch.from_numpy(merged.astype(np.float32))
        if pushed is not None:
            move = move + torch.autograd.grad(outputs, trunks, pushed)[0]
    moved = _moved(state, (move, head_moves), rate)
    return replace(moved, weights=weights), {"loss": losses}


def _of_heads(
    state: Ensemble,
    outputs: torch.Tensor,
    labels: torch.Tensor,
    method: str,
    temperature: float = LOGIT_TEMPERATURE,
) -> tuple[np.ndarray, torch.Tensor, list[torch.Tensor]]:
    """Return losses (K,), the heads' moves (K, n, H), and each loss's gradient in the features."""
    losses, moves, cotangents = [], [], []
    for task_heads, wanted in zip(state.heads, labels, strict=True):
        psi, inputs = task_heads.detach().requires_grad_(), outputs.detach().requires_grad_()
        answers = logits(psi, inputs)
        loss = _loss(answers, wanted)
        gradient, cotangent = torch.autograd.grad(loss, (psi, inputs), retain_graph=True)
        if method in _KERNEL_METHODS:
            kernel = kernel_of(answers.detach())
            if _smooths(method):
                mean = torch.from_numpy((kernel.values / len(answers)).astype(np.float32))
                gradient = mean @ gradient
            pushed = temperature * push(method, answers.detach(), kernel)
            gradient = gradient + torch.autograd.grad(answers, psi, pushed)[0]
        losses.append(loss.item() / len(answers))
        moves.append(gradient)
        cotangents.append(cotangent)
    if not np.isfinite(losses).all():
        raise DivergenceError(
            f"step {state.iteration}: a loss is not finite; take a smaller learning rate"
        )
    return np.array(losses), torch.stack(moves), cotangents


def _loss(answers: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the sum over networks, so that each gradient belongs to its own network."""
    return torch.stack([cross_entropy(one, wanted) for one in answers]).sum()


def _smooths(method: str) -> bool:
    return _KERNEL_METHODS.get(method) == "svgd"


def kernel_of(outputs: torch.Tensor) -> Kernel:
    """Return the kernel between networks by their outputs (n, ...), of the median width."""
    flat = outputs.flatten(1).numpy().astype(float)
    return radial_kernel(flat, flat, median_bandwidth(flat))


def push(method: str, outputs: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """Return grad log q of the networks' outputs, shape of the outputs."""
    score = -kernel_repulsion(_KERNEL_METHODS[method], kernel)
    return torch.from_numpy(score.astype(np.float32)).reshape(outputs.shape)


def _new_weights(
    weights: np.ndarray,
    gradients: np.ndarray,
    smoothing: np.ndarray | None,
    settings: EnsembleSettings,
) -> np.ndarray:
    """Return the weights (n, K) by the method's rule, from the task gradients (K, n, P)."""
    count = gradients.shape[1]
    if settings.method in ("mgda", "moo_svgd"):
        return np.array([least_norm(own @ own.T) for own in gradients.swapaxes(0, 1)])
    mixing = np.eye(count) / count if smoothing is None else smoothing / count**2
    gram = np.einsum("kip,ij,ljp->kl", gradients, mixing, gradients, optimize=True)
    if settings.method == "mt_sgd":
        return np.tile(least_norm(gram), (count, 1))
    return np.tile(project(weights[0] - settings.weight_rate * gram @ weights[0]), (count, 1))


def _moved(state: Ensemble, moves: tuple[torch.Tensor, torch.Tensor], rate: float) -> Ensemble:
    """Move trunks and heads by a step of Adam, without changing the weights."""
    t = state.iteration + 1

    def part(
        parameters: torch.Tensor, move: torch.Tensor, first: torch.Tensor, second: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        first, second, mean, root = adam(move, first, second, t)
        return parameters - rate * mean / root, first, second

    (trunk_move, head_move), first, second = moves, state.first_moments, state.second_moments
    trunks, first_trunk, second_trunk = part(state.trunks, trunk_move, first[0], second[0])
    heads, first_head, second_head = part(state.heads, head_move, first[1], second[1])
    return Ensemble(
        t, trunks, heads, (first_trunk, first_head), (second_trunk, second_head), state.weights
    )


def predict(state: Ensemble, images: torch.Tensor) -> torch.Tensor:
    """Return each network's class probabilities, shape (K, n, B, 10)."""
    with torch.no_grad():
        outputs = features(state.trunks, images)
        return torch.stack([logits(heads, outputs).softmax(dim=-1) for heads in state.heads])


AUTHORS_BATCH, _AUTHORS_RATE, _MOMENTUM, _WEIGHT_RATE = 256, 1e-3, 0.9, 1e-5
_FALLS, _FALL = (15, 30, 45, 60, 75, 90), 0.1


def authors_rate(epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0."""
    return _AUTHORS_RATE * _FALL ** sum(epoch >= fall for fall in _FALLS)


def authors_step(
    state: Ensemble, images: torch.Tensor, labels: torch.Tensor, rate: float, method: str
) -> tuple[Ensemble, dict[str, Any]]:
    """Move the networks once, by one of ``AUTHORS_METHODS``; else as :func:`step`."""
    trunks = state.trunks.detach().requires_grad_()
    outputs = features(trunks, images)
    count = len(trunks)
    temperature = LOGIT_TEMPERATURE / count if method == "svgd" else LOGIT_TEMPERATURE
    losses, moves, _ = _of_heads(state, outputs.detach(), labels, method, temperature)
    trunk_speed, head_speed = state.first_moments
    head_speed = _MOMENTUM * head_speed + moves
    heads = state.heads - rate * head_speed
    of_tasks = []
    for own, wanted in zip(heads, labels, strict=True):
        loss = _loss(logits(own, outputs), wanted)
        (gradient,) = torch.autograd.grad(loss, trunks, retain_graph=True)
        of_tasks.append(normalize(gradient, dim=0))
    gradients = torch.stack(of_tasks)
    kernel = kernel_of(outputs.detach())
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
