"""The test problem's second part: classification with a pool that is a mixture of domains.

Each domain has its own centre and its own linear rule for the classes. Two rare domains are the
target. A perceptron, warmed up on a few random samples, is trained on the selection of each method.
The result is its accuracy on the target's domains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from popinv.seeds import generator
from popinv_papers.influence import selection
from popinv_papers.influence.influence import Flat, Losses, Samples
from popinv_papers.influence.networks import Perceptron, classification_losses
from popinv_papers.influence.pool_scores import (
    dealt,
    draw_tangents,
    exact_scores,
    representation_scores,
    spread_scores,
    tangent_embeddings,
    with_label,
)
from popinv_papers.influence.selection import round_robin, top
from popinv_papers.influence.training import AdamSettings, AdamState, begin, train

EMBEDDINGS = ("states", "hidden", "logits", "loss", "hidden_and_label")


@dataclass(frozen=True)
class Mixture:
    """Size of the problem and settings of the training."""

    domains: int = 8
    features: int = 8
    classes: int = 4
    width: int = 128
    pool: int = 6000
    # Shares of the target's domains in the pool.
    rare: tuple[float, ...] = (0.02, 0.03)
    label_noise: float = 0.1
    target: int = 64
    test: int = 4000
    selected: int = 300
    landmarks: tuple[int, ...] = (64, 256, 1024)
    landmarks_used: int = 256
    warm_epochs: int = 4
    epochs: int = 20
    full_epochs: int = 60
    loss_tangents: int = 64


@dataclass(frozen=True)
class Domains:
    """Samples (inputs and classes), and the domain of each sample of the pool."""

    pool: Samples
    pool_domain: np.ndarray
    target: Samples
    test: Samples


def domains(size: Mixture, seed: int) -> Domains:
    """Draw the domains and their samples."""
    rng = generator(seed, "influence/mixture/domains")
    centres = rng.standard_normal((size.domains, size.features))
    rules = rng.standard_normal((size.domains, size.features, size.classes))

    def draw(domain: np.ndarray, noise: float) -> Samples:
        x = centres[domain] + rng.standard_normal((len(domain), size.features))
        # The rule reads the place within the domain, so no class is rare.
        y = np.einsum("nf,nfc->nc", x - centres[domain], rules[domain]).argmax(axis=1)
        wrong = rng.random(len(y)) < noise
        y = np.where(wrong, rng.integers(0, size.classes, len(y)), y)
        return torch.from_numpy(x).float(), torch.from_numpy(y)

    rare = len(size.rare)
    others = np.full(size.domains - rare, (1 - sum(size.rare)) / (size.domains - rare))
    shares = np.concatenate([size.rare, others])
    pool_domain = rng.choice(size.domains, size.pool, p=shares)
    return Domains(
        draw(pool_domain, size.label_noise),
        pool_domain,
        draw(np.arange(size.target) % rare, size.label_noise),
        draw(np.arange(size.test) % rare, 0.0),
    )


def embeddings(
    kind: str, flat: Flat, losses: Losses, theta: Tensor, pool: Samples, size: Mixture, seed: int
) -> Tensor:
    """Return the pool's embeddings.

    The embeddings are two tangents of the hidden layer or of the logits, without labels; many
    tangents of the loss, or the tangents of the hidden layer and the label, both with labels; or
    the hidden layer itself, ``states``, as in methods of representations.
    """
    count = size.loss_tangents if kind == "loss" else 2
    tangents = draw_tangents(theta, count, seed, "influence/mixture/tangents")
    x, y = pool
    if kind == "states":
        with torch.no_grad():
            return flat(theta, x, features=True)
    if kind == "loss":
        return tangent_embeddings(
            lambda weights, *sample: losses(weights, *sample)[:, None], theta, pool, tangents
        )
    hidden = kind != "logits"
    embedded = tangent_embeddings(
        lambda weights, inputs: flat(weights, inputs, features=hidden), theta, (x,), tangents
    )
    return with_label(embedded, y, size.classes) if kind == "hidden_and_label" else embedded


def compare(size: Mixture, seed: int, number: int) -> dict[str, float]:
    """Select by every method, train, and return accuracies and correlations for one draw.

    Returns
    -------
    dict
        ``accuracy_<method>`` on the target's domains, ``share_<method>`` of the selected samples
        that are of these domains, and ``correlation_<embedding>_<rule>_<landmarks>``.
    """
    place = f"influence/mixture/{number}"
    drawn = domains(size, int(generator(seed, place).integers(2**31)))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            int(generator(seed, f"{place}/weights").integers(2**63))
        )
        flat = Flat.of(Perceptron(size.features, size.classes, size.width))
    losses = classification_losses(flat)
    adam = AdamSettings(seed=seed, stage=place)
    few = generator(seed, f"{place}/warm").permutation(size.pool)[: size.selected]
    warm = _trained(losses, begin(flat.theta), drawn.pool, few, adam, size.warm_epochs, decay=False)
    step = warm.frozen_step(adam)
    scores = exact_scores(losses, warm.theta, step, drawn.pool, drawn.target)

    def turns(scores_by_target: np.ndarray) -> np.ndarray:
        return round_robin(scores_by_target, size.selected, generator(seed, f"{place}/turns"))

    embedded = {
        kind: embeddings(kind, flat, losses, warm.theta, drawn.pool, size, seed)
        for kind in EMBEDDINGS
    }
    embedded["dealt"] = dealt(embedded["hidden"], seed, place)
    numbers, known = spread_scores(
        embedded, scores.of_each, size.landmarks, size.landmarks_used, seed, place
    )
    # What naming one class for all would have.
    numbers["accuracy_largest_class"] = float(drawn.test[1].bincount().max()) / size.test
    with torch.no_grad():
        states = [flat(warm.theta, x, features=True) for x, _ in (drawn.pool, drawn.target)]
    rare = np.flatnonzero(drawn.pool_domain < len(size.rare))
    selections = {
        "random": generator(seed, f"{place}/random").permutation(size.pool)[: size.selected],
        "mean_gradient": top(scores.of_mean_plain, size.selected),
        "mean_gradient_adam": top(scores.of_mean, size.selected),
        **{f"landmarks_{kind}": turns(known[kind]) for kind in known if kind != "states"},
        "representations": turns(representation_scores(*states)),
        "exact": turns(scores.of_each),
        "target_domains": rare[: size.selected],
    }
    for name, chosen in selections.items():
        trained = _trained(losses, begin(warm.theta), drawn.pool, chosen, adam, size.epochs)
        numbers[f"accuracy_{name}"] = _accuracy(flat, trained, drawn.test)
        numbers[f"share_{name}"] = float((drawn.pool_domain[chosen] < len(size.rare)).mean())
    for name, steps in (
        ("full_same_steps", size.epochs * -(-size.selected // adam.batch_size)),
        ("full", size.full_epochs * -(-size.pool // adam.batch_size)),
    ):
        trained = train(losses, begin(warm.theta), drawn.pool, adam, steps)
        numbers[f"accuracy_{name}"] = _accuracy(flat, trained, drawn.test)
        numbers[f"share_{name}"] = len(rare) / size.pool
    # The weights of the robust problem are used in the training.
    w, _ = selection.weights_of_size(scores.of_mean, size.selected)
    chosen = np.flatnonzero(w > 0)
    shares = torch.from_numpy(w[chosen] * len(chosen) / size.pool)
    trained = _trained(losses, begin(warm.theta), drawn.pool, chosen, adam, size.epochs, shares)
    numbers["accuracy_mean_gradient_adam_weighted"] = _accuracy(flat, trained, drawn.test)
    return numbers


def _trained(
    losses: Losses,
    state: AdamState,
    pool: Samples,
    chosen: np.ndarray,
    adam: AdamSettings,
    epochs: int,
    weights: Tensor | None = None,
    decay: bool = True,
) -> AdamState:
    index = torch.from_numpy(chosen)
    steps = epochs * -(-len(chosen) // adam.batch_size)
    samples = tuple(tensor[index] for tensor in pool)
    return train(losses, state, samples, adam, steps, weights, decay)


def _accuracy(flat: Flat, state: AdamState, test: Samples) -> float:
    x, y = test
    with torch.no_grad():
        return float((flat(state.theta, x).argmax(dim=1) == y).double().mean())
