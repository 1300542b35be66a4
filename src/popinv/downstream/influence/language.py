"""The test problem's third part: a small language model and texts of several categories.

The Brown corpus has 15 categories. One is the target, and is rare in the pool. A transformer is
trained on texts of all categories, warmed up on a few random samples of the pool, and then trained
on the selection of each method. The result is its loss on held-out texts of the target's category.
Each text is used on one side only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from popinv.downstream.influence import landmarks
from popinv.downstream.influence.bigram_table import bigram_loss
from popinv.downstream.influence.comparison import (
    exact_scores,
    representation_scores,
    spread_scores,
)
from popinv.downstream.influence.gradients import Flat, mean_loss
from popinv.downstream.influence.networks import Transformer, language_losses, position_weighted
from popinv.downstream.influence.selection import round_robin, top
from popinv.downstream.influence.steps import Step
from popinv.downstream.influence.training import Adam, begin, train
from popinv.downstream.kept import kept, kept_numbers
from popinv.errors import DataError
from popinv.seeds import generator

__all__ = [
    "CATEGORIES",
    "EMBEDDINGS",
    "Corpus",
    "Language",
    "Sides",
    "compare",
    "comparisons",
    "pretrained",
]

CATEGORIES = {
    "a": "reportage",
    "b": "editorials",
    "c": "reviews",
    "d": "religion",
    "e": "hobbies",
    "f": "popular lore",
    "g": "belles lettres",
    "h": "official documents",
    "j": "learned",
    "k": "general fiction",
    "l": "mystery",
    "m": "science fiction",
    "n": "adventure",
    "p": "romance",
    "r": "humor",
}

# The states whose tangents are the embeddings: the last token's, as in the released code, or their
# mean.
EMBEDDINGS = ("last_state", "mean_state")


@dataclass(frozen=True)
class Language:
    """Size of the problem and settings of the training."""

    vocabulary: int = 500
    length: int = 48
    width: int = 32
    heads: int = 2
    layers: int = 4
    # Number of first blocks for the embeddings.
    blocks: int = 1
    category: str = "h"
    # Share of the texts for pretraining.
    pretraining: float = 0.3
    pretraining_steps: int = 1000
    pool: int = 3000
    rare: float = 0.05
    target: int = 48
    test: int = 300
    selected: int = 400
    landmarks: tuple[int, ...] = (64, 256, 1024)
    landmarks_used: int = 256
    warm_steps: int = 13
    steps: int = 40
    rate: float = 1e-3
    batch_size: int = 32


@dataclass(frozen=True)
class Corpus:
    """Token numbers of every text by its name, whose second letter is its category."""

    symbols: Mapping[str, np.ndarray]
    vocabulary: int


@dataclass(frozen=True)
class Sides:
    """Windows of tokens, and whether each of the pool's has the target's category."""

    pool: Tensor
    pool_is_target: np.ndarray
    target: Tensor
    test: Tensor


def _windows(texts: list[np.ndarray], length: int) -> np.ndarray:
    whole = [text[: len(text) // length * length].reshape(-1, length) for text in texts]
    return np.concatenate(whole)


def _split(corpus: Corpus, size: Language, seed: int) -> tuple[list[str], list[str]]:
    """Return the names of the texts for pretraining, and of the other texts."""
    new = [name for name in sorted(corpus.symbols) if name[1] == size.category]
    known = np.array([name for name in sorted(corpus.symbols) if name[1] != size.category])
    order = known[generator(seed, "influence/language/pretraining").permutation(len(known))]
    cut = round(size.pretraining * len(known))
    return list(order[:cut]), [*order[cut:], *new]


def _pretraining_windows(corpus: Corpus, size: Language, seed: int) -> np.ndarray:
    names, _ = _split(corpus, size, seed)
    return _windows([corpus.symbols[name] for name in names], size.length + 1)


def sides(corpus: Corpus, size: Language, seed: int, number: int) -> Sides:
    """Draw pool, target and test of one draw from the texts that are not for pretraining.

    Raises
    ------
    DataError
        If there are too few texts.
    """
    rng = generator(seed, "influence/language/sides", number)
    _, names = _split(corpus, size, seed)
    wanted = [name for name in names if name[1] == size.category]
    others = [name for name in names if name[1] != size.category]
    wanted = [wanted[i] for i in rng.permutation(len(wanted))]
    third = len(wanted) // 3
    rare = round(size.rare * size.pool)
    windows_by_side = {}
    for side, texts, count in (
        ("rare", wanted[:third], rare),
        ("target", wanted[third : 2 * third], size.target),
        ("test", wanted[2 * third :], size.test),
        ("others", others, size.pool - rare),
    ):
        windows = _windows([corpus.symbols[name] for name in texts], size.length + 1)
        if len(windows) < count:
            raise DataError(
                f"the corpus has {len(windows)} windows of {size.length + 1} tokens for the side "
                f"'{side}', {count} are wanted"
            )
        windows_by_side[side] = windows[rng.permutation(len(windows))[:count]]
    pool = np.concatenate([windows_by_side["rare"], windows_by_side["others"]])
    is_target = np.arange(len(pool)) < rare
    order = rng.permutation(len(pool))
    pool, is_target = pool[order], is_target[order]
    tensors = (
        torch.from_numpy(a) for a in (pool, windows_by_side["target"], windows_by_side["test"])
    )
    pool_tensor, target, test = tensors
    return Sides(pool_tensor, is_target, target, test)


def pretrained(corpus: Corpus, size: Language, seed: int) -> Transformer:
    """Return a transformer trained on the texts for pretraining, of all categories."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            int(generator(seed, "influence/language/weights").integers(2**63))
        )
        model = Transformer(corpus.vocabulary, size.length, size.width, size.heads, size.layers)
    flat = Flat.of(model)
    adam = Adam(3e-3, size.batch_size, seed=seed, stage="influence/language/pretraining")
    windows = torch.from_numpy(_pretraining_windows(corpus, size, seed))

    def trained() -> dict[str, Tensor]:
        steps = size.pretraining_steps
        state = train(language_losses(flat), begin(flat.theta), (windows,), adam, steps)
        return {"theta": state.theta}

    theta = torch.tensor(kept("pretrained language model", trained)["theta"])
    torch.nn.utils.vector_to_parameters(theta, model.parameters())
    return model.requires_grad_(False)


def compare(
    corpus: Corpus, model: Transformer, size: Language, seed: int, number: int
) -> dict[str, float]:
    """Select by every method, train, and return losses and correlations for one draw.

    Returns
    -------
    dict
        ``loss_<method>`` on texts of the target's category (natural logarithm, per token), with
        ``before`` for the warmed-up model, and ``bigram`` for a table of pairs of tokens from the
        texts for pretraining and the pool; ``share_<method>`` of the selected samples that have
        that category; ``correlation_<embedding>_<rule>_<landmarks>``.
    """
    place = f"influence/language/{number}"
    drawn = sides(corpus, size, seed, number)
    everything = Flat.of(model)
    losses = language_losses(everything)
    adam = Adam(size.rate, size.batch_size, seed=seed, stage=place)
    few = generator(seed, f"{place}/warm").permutation(size.pool)[: size.selected]
    warm = train(
        losses, begin(everything.theta), (drawn.pool[few],), adam, size.warm_steps, decay=False
    )
    # As in the released code, gradients are those of the layers that lead down from the wide ones.
    warmed = copy.deepcopy(model)
    torch.nn.utils.vector_to_parameters(warm.theta, warmed.parameters())
    of_some = Flat.of(warmed, lambda name: ".down." in name)
    chosen_weights = torch.cat(
        [torch.full((p.numel(),), ".down." in name) for name, p in warmed.named_parameters()]
    )
    whole = warm.frozen_step(adam)
    step = Step(whole.scale[chosen_weights], whole.drift[chosen_weights])
    scores = exact_scores(
        language_losses(of_some), of_some.theta, step, (drawn.pool,), (drawn.target,)
    )
    rng = generator(seed, f"{place}/tangents")
    tangents = torch.from_numpy(rng.standard_normal((2, len(warm.theta)))).to(warm.theta.dtype)
    with torch.no_grad():
        states = [
            position_weighted(everything(warm.theta, tokens[:, :-1], features=True))
            for tokens in (drawn.pool, drawn.target)
        ]
    embedded = {
        kind: landmarks.tangent_embeddings(
            _features(everything, size, kind), warm.theta, (drawn.pool,), tangents
        )
        for kind in EMBEDDINGS
    }
    dealt = generator(seed, f"{place}/dealt").permutation(size.pool)
    embedded["dealt"] = embedded["last_state"][torch.from_numpy(dealt)]
    # The states that methods of representations compare, used as embeddings of landmarks.
    embedded["states"] = states[0]

    def turns(scores_by_target: np.ndarray) -> np.ndarray:
        return round_robin(scores_by_target, size.selected, generator(seed, f"{place}/turns"))

    numbers, known = spread_scores(
        embedded, scores.of_each, size.landmarks, size.landmarks_used, seed, place
    )
    rare = np.flatnonzero(drawn.pool_is_target)
    selections = {
        "random": generator(seed, f"{place}/random").permutation(size.pool)[: size.selected],
        "mean_gradient": top(scores.of_mean, size.selected),
        **{f"landmarks_{kind}": turns(known[kind]) for kind in (*EMBEDDINGS, "dealt")},
        "representations": turns(representation_scores(*states)),
        "exact": turns(scores.of_each),
        "target_category": rare[: size.selected],
        "full_same_steps": np.arange(size.pool),
    }
    texts = np.concatenate([_pretraining_windows(corpus, size, seed), drawn.pool.numpy()])
    numbers["loss_bigram"] = bigram_loss(texts, drawn.test.numpy(), corpus.vocabulary)
    numbers["loss_before"] = mean_loss(losses, warm.theta, (drawn.test,))
    for name, chosen in selections.items():
        samples = (drawn.pool[torch.from_numpy(chosen)],)
        trained = train(losses, begin(warm.theta), samples, adam, size.steps)
        numbers[f"loss_{name}"] = mean_loss(losses, trained.theta, (drawn.test,))
        numbers[f"share_{name}"] = float(drawn.pool_is_target[chosen].mean())
    return numbers


def _features(flat: Flat, size: Language, kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the states for embeddings: the last token's (as in the released code) or the mean."""

    def features(theta: Tensor, tokens: Tensor) -> Tensor:
        states = flat(theta, tokens[:, :-1], blocks=size.blocks, features=True)
        return states[:, -1] if kind == "last_state" else states.mean(dim=1)

    return features


def comparisons(corpus: Corpus, size: Language, seed: int, draws: int) -> list[dict[str, float]]:
    """Return :func:`compare` for a number of draws, all from one pretrained model."""
    model = pretrained(corpus, size, seed)
    bar = tqdm(range(draws), desc="language model", unit="draw", disable=None)
    return [
        kept_numbers(f"language {number}", partial(compare, corpus, model, size, seed, number))
        for number in bar
    ]
