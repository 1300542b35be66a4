r"""Ensembles of networks that learn two tasks, as particles on two objectives.

Network i has a trunk phi_i, which both tasks share, and a head psi_ki for each task. L_k is the
mean cross-entropy of task k on a minibatch. The networks are particles of a law q, and objective k
is E_q L_k - tau H(q), the divergence from exp(-L_k / tau). A step moves the networks along

.. math:: \dot\phi = \sum_k w_k v_k, \qquad v_k = -\nabla_\phi L_k - \tau \nabla \log q,

and each head along the velocity of its own task. The repulsion, -grad log q, acts between the
outputs of the networks on the batch, features and logits, and is pulled back to the parameters. In
``neural`` it acts between the parameters of the trunks.

=========  ===================================  ==============================================
method     velocity                             weights w
=========  ===================================  ==============================================
svgd       SVGD                                 one projected step, w <- Proj(w - eta Q w)
blob       Blob (Chen et al. 2018)              the same
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
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from popinv.errors import ConfigError, DivergenceError, nearest
from popinv.optimisation.adam import adam
from popinv.seeds import generator
from popinv_papers.kit.simplex import least_norm, project
from popinv_papers.mwgrad.kernels import Kernel, median_bandwidth, radial_kernel
from popinv_papers.mwgrad.lenets import TASKS, features, logits, new_networks
from popinv_papers.mwgrad.velocities import kernel_repulsion, neural_score

METHODS = ("svgd", "blob", "gfsd", "neural", "mt_sgd", "moo_svgd", "mgda", "equal")
_KERNEL_METHODS = {
    "svgd": "svgd",
    "blob": "blob",
    "gfsd": "gfsd",
    "mt_sgd": "svgd",
    "moo_svgd": "svgd",
}
# Temperatures of the repulsion between features and between logits, as in the released code.
FEATURE_TEMPERATURE, LOGIT_TEMPERATURE = 0.0015, 0.25
_NEURAL_STEPS, _NEURAL_WIDTH = 5, 10


@dataclass(frozen=True)
class EnsembleSettings:
    """Settings of the learning.

    Parameters
    ----------
    method : str
        One of ``METHODS``.
    weight_rate : float
        eta.
    parameter_temperature : float
        tau of the repulsion between parameters: one over the number of training images, for which
        exp(-L_k / tau) is the likelihood.
    seed, stage : int, str
        Address of the random draws.
    """

    method: str
    weight_rate: float = 0.1
    parameter_temperature: float = 1e-4
    seed: int = 0
    stage: str = "mwgrad/ensemble"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"method '{self.method}', allowed: {', '.join(METHODS)}."
                + nearest(self.method, METHODS)
            )


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
    rate : float
        Learning rate of this step.

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
    losses, head_moves, cotangents = _of_heads(state.heads, outputs.detach(), labels, settings)
    if not np.isfinite(losses).all():
        raise DivergenceError(
            f"step {state.iteration}: a loss is not finite; take a smaller learning rate"
        )
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
            rng = generator(settings.seed, f"{settings.stage}/neural", state.iteration)
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
    heads: torch.Tensor, outputs: torch.Tensor, labels: torch.Tensor, settings: EnsembleSettings
) -> tuple[np.ndarray, torch.Tensor, list[torch.Tensor]]:
    """Return losses (K,), the heads' moves (K, n, H), and each loss's gradient in the features."""
    losses, moves, cotangents = [], [], []
    for task_heads, wanted in zip(heads, labels, strict=True):
        psi, inputs = task_heads.detach().requires_grad_(), outputs.detach().requires_grad_()
        answers = logits(psi, inputs)
        # The loss is summed over networks, so that each gradient is that of its own network.
        loss = torch.stack([cross_entropy(one, wanted) for one in answers]).sum()
        gradient, cotangent = torch.autograd.grad(loss, (psi, inputs), retain_graph=True)
        if settings.method in _KERNEL_METHODS:
            kernel = kernel_of(answers.detach())
            if _smooths(settings.method):
                mean = torch.from_numpy((kernel.values / len(answers)).astype(np.float32))
                gradient = mean @ gradient
            pushed = LOGIT_TEMPERATURE * push(settings.method, answers.detach(), kernel)
            gradient = gradient + torch.autograd.grad(answers, psi, pushed)[0]
        losses.append(loss.item() / len(answers))
        moves.append(gradient)
        cotangents.append(cotangent)
    return np.array(losses), torch.stack(moves), cotangents


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
