r"""Scores of a whole pool: exact ones, and those that a few landmarks lead to.

Each test problem has a pool, a target, and a network that was warmed up on a few random samples of
the pool, and receives the samples that each method selects.

For landmarks, gradients are computed for a few samples only, and inexpensive embeddings for all.
The landmarks' scores, one column for each target sample, are spread to the other samples by the
similarity of their embeddings. An embedding is the derivative of a network's features along random
directions of its weights, by forward mode, with the same directions for every sample. It needs no
label and no backward pass.

Two rules spread scores. Kernel regression follows the authors' released code,

.. math:: \hat p = K_{SL} (K_{LL} + \delta I)^{-1} p_L, \qquad
    K_{ij} = \exp(-\|e_i - e_j\|^2 / 2\sigma^2),

with sigma the median distance of landmarks and delta one hundredth of the mean of K's diagonal. The
linear rule, p = E_S E_L^T (E_L E_L^T + mu I)^{-1} p_L, is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor
from torch.func import jvp, vmap
from torch.nn.functional import one_hot

from popinv.errors import ConfigError
from popinv.seeds import generator
from popinv_papers.influence import influence
from popinv_papers.influence.influence import Flat, Losses, Samples, Step, parts, rows_held

_MOST_FOR_MEDIAN = 1000
# Directions for the outputs of a whole network.
_TANGENTS = 8


def draw_landmarks(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the numbers of landmarks drawn from a pool, ascending, shape (size,).

    Raises
    ------
    ConfigError
        If the pool has fewer samples.
    """
    if not 1 <= size <= count:
        raise ConfigError(f"got {size} landmarks, must lie in 1..{count}, the samples of the pool")
    return np.sort(rng.permutation(count)[:size])


def draw_tangents(theta: Tensor, count: int, seed: int, stage: str) -> Tensor:
    """Return random directions of the weights, normal draws of shape (count, d)."""
    drawn = generator(seed, stage).standard_normal((count, len(theta)))
    return torch.from_numpy(drawn).to(theta.dtype)


def tangent_embeddings(
    features: Callable[..., Tensor],
    theta: Tensor,
    samples: Samples,
    tangents: Tensor,
    rows: int = 256,
) -> Tensor:
    """Return the derivatives of features along directions of the weights, (n, V h).

    The features map theta and samples to an array of shape (n, h). The tangents have the shape (V,
    d).
    """
    embedded = []
    for part in parts(samples, rows):

        def along(v: Tensor, part: tuple[Tensor, ...] = part) -> Tensor:
            return jvp(lambda weights: features(weights, *part), (theta,), (v,))[1]

        # All tangents are computed together, so that the pass without tangent is made once.
        together = vmap(along)(tangents).detach()
        embedded.append(together.transpose(0, 1).flatten(1))
    return torch.cat(embedded)


def output_embeddings(flat: Flat, theta: Tensor, inputs: Tensor, seed: int, stage: str) -> Tensor:
    """Return the derivatives of a network's outputs along random directions of its weights."""
    tangents = draw_tangents(theta, _TANGENTS, seed, f"{stage}/tangents")
    return tangent_embeddings(flat, theta, (inputs,), tangents, rows_held(theta))


def kernel_spread(
    embeddings: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, damping: float = 1e-2
) -> np.ndarray:
    """Return all samples' scores by kernel ridge regression from the landmarks', (n,) or (n, m).

    The embeddings have the shape (n, h), the landmarks' scores (l,) or (l, m). ``damping`` is
    relative to the kernel's value at distance 0.
    """
    everywhere = np.asarray(embeddings, dtype=float)
    known = everywhere[landmarks]
    distances = squared_distances(known, known)
    few = distances[:_MOST_FOR_MEDIAN, :_MOST_FOR_MEDIAN]
    pairs = few[np.triu_indices(len(few), 1)]
    # Median and square root commute only for an odd number of pairs.
    bandwidth = float(np.median(np.sqrt(pairs))) if len(pairs) else 1.0
    if not bandwidth > 0:
        raise ConfigError(
            "at least half of the landmarks have the same embedding, so the distances between "
            "samples have no scale; embed more of each sample"
        )
    kernel = np.exp(-distances / (2 * bandwidth**2))
    kernel[np.diag_indices(len(kernel))] += damping
    coefficients = cho_solve(cho_factor(kernel, lower=True), np.asarray(scores, dtype=float))
    cross = np.exp(-squared_distances(everywhere, known) / (2 * bandwidth**2))
    return cross @ coefficients


def linear_spread(
    embeddings: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, damping: float = 1e-4
) -> np.ndarray:
    """Return the scores of all samples by linear ridge regression.

    ``damping`` is relative to the mean squared length of the landmarks' embeddings.
    """
    everywhere = np.asarray(embeddings, dtype=float)
    known = everywhere[landmarks]
    gram = known @ known.T
    scale = float(np.trace(gram)) / len(gram)
    gram[np.diag_indices(len(gram))] += damping * (scale or 1.0)
    coefficients = cho_solve(cho_factor(gram, lower=True), np.asarray(scores, dtype=float))
    return everywhere @ (known.T @ coefficients)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return |a_i - b_j|^2, shape (n, m), of rows (n, h) and (m, h); none is below 0."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0)


Spread = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_SPREADS: dict[str, Spread] = {
    "kernel": kernel_spread,
    "linear": linear_spread,
}


@dataclass(frozen=True)
class Scores:
    """Exact scores of a pool.

    Attributes
    ----------
    of_mean : ndarray of shape (n,)
        Products with the gradient of the target's mean loss, by the optimiser's step.
    of_mean_plain : ndarray of shape (n,)
        The same for plain gradient descent.
    of_each : ndarray of shape (n, m)
        Cosines with the gradient of every target sample, by the optimiser's step.
    """

    of_mean: np.ndarray
    of_mean_plain: np.ndarray
    of_each: np.ndarray


def exact_scores(
    losses: Losses, theta: Tensor, step: Step, pool: Samples, target: Samples, rows: int = 256
) -> Scores:
    """Return exact scores. The gradients of the pool are computed ``rows`` at a time."""
    of_target = influence.sample_gradients(losses, theta, target, rows)
    mean = of_target.mean(dim=0)
    products, plain, cosines = [], [], []
    for part in influence.parts(pool, rows):
        of_pool = influence.sample_gradients(losses, theta, part, rows)
        products.append(influence.scores_of(of_pool, mean, step))
        plain.append(of_pool @ mean)
        cosines.append(influence.cosine_scores(of_pool, of_target, step))
    return Scores(*(torch.cat(parts).double().numpy() for parts in (products, plain, cosines)))


def spread_scores(
    embedded: Mapping[str, Tensor],
    of_each: np.ndarray,
    sizes: Sequence[int],
    used: int,
    seed: int,
    stage: str,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Spread scores (n, m) by every embedding (n, h) and rule, for every number of landmarks.

    Returns
    -------
    numbers : dict
        ``correlation_<embedding>_<rule>_<landmarks>`` with the exact scores.
    known : dict of ndarray of shape (n, m)
        Scores of the kernel rule by ``used`` landmarks, by embedding.
    """
    numbers, known = {}, {}
    for kind, rows in embedded.items():
        for rule, spread in _SPREADS.items():
            for size in sizes:
                rng = generator(seed, f"{stage}/landmarks", size)
                chosen = draw_landmarks(len(rows), size, rng)
                predicted = spread(rows.double().numpy(), chosen, of_each[chosen])
                numbers[f"correlation_{kind}_{rule}_{size}"] = correlation(
                    predicted, of_each, chosen
                )
                if size == used and rule == "kernel":
                    known[kind] = predicted
    return numbers, known


def dealt(rows: Tensor, seed: int, place: str) -> Tensor:
    """Return embeddings without information: each is given to another sample."""
    order = generator(seed, f"{place}/dealt").permutation(len(rows))
    return rows[torch.from_numpy(order)]


def with_label(rows: Tensor, label: Tensor, classes: int) -> Tensor:
    """Return embeddings (n, h) beside the label: both parts have a mean squared length of 1."""
    unit = rows / rows.square().sum(dim=1).mean().sqrt()
    return torch.cat([unit, one_hot(label, classes)], dim=1)


def representation_scores(pool: Tensor, target: Tensor) -> np.ndarray:
    """Return the cosines of states (n, h) with states of the target (m, h), shape (n, m)."""
    return (influence.unit(pool) @ influence.unit(target).T).double().numpy()


def correlation(predicted: np.ndarray, exact: np.ndarray, left_out: np.ndarray) -> float:
    """Return the mean over targets of the scores' correlation over all but the landmarks."""
    others = np.ones(len(predicted), dtype=bool)
    others[left_out] = False
    a, b = (x[others] - x[others].mean(axis=0) for x in (predicted, exact))
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    # Constant scores carry no information.
    each = np.where(norms > 0, (a * b).sum(axis=0) / np.where(norms > 0, norms, 1), 0.0)
    return float(each.mean())
