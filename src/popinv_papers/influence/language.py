"""The test problem's third part: a small language model and texts of many sources.

Three categories of the Brown corpus are targets, which the pretrained model has never seen and
which are rare in the pool; the rest of the pool has the other categories, ham and spam. The model
is warmed up on a few random passages of the pool, and then trained on the selection of each method
for each target. The result is its loss on held-out passages of the target. Each text is used on one
side only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from popinv.errors import DataError
from popinv.seeds import generator
from popinv_papers.influence.influence import Flat, mean_loss
from popinv_papers.influence.networks import (
    PADDING,
    Transformer,
    language_losses,
    position_weighted,
)
from popinv_papers.influence.pool_scores import (
    dealt,
    draw_tangents,
    representation_scores,
    tangent_embeddings,
)
from popinv_papers.influence.pretraining import LanguageModel, PretrainingCorpus, bigram_loss, split
from popinv_papers.influence.text_pool import (
    Seconds,
    TextPool,
    choose,
    scores_of_down,
    timed,
    trained_once,
    warmed_up,
)
from popinv_papers.influence.training import AdamSettings, AdamState
from popinv_papers.kit.training import filled

# The states whose tangents are the embeddings: the last token's, as in the released code, or their
# mean.
EMBEDDINGS = ("last_state", "mean_state")


@dataclass(frozen=True)
class Language:
    """Size of the problem and settings of the training; the model has its own."""

    model: LanguageModel = field(default_factory=LanguageModel)
    # Number of first blocks for the embeddings.
    blocks: int = 1
    pool: int = 3000
    # Share of each target in the pool.
    rare: float = 0.05
    target: int = 32
    test: int = 200
    selected: int = 300
    landmarks: tuple[int, ...] = (64, 256, 1024)
    landmarks_used: int = 256
    warm_steps: int = 10
    steps: int = 25
    rate: float = 5e-4
    batch_size: int = 32


@dataclass(frozen=True)
class Sides:
    """Passages of a draw, and the number of the target that each of the pool has, or -1."""

    pool: Tensor
    target_of: np.ndarray
    targets: tuple[Tensor, ...]
    tests: tuple[Tensor, ...]


def sides(corpus: PretrainingCorpus, size: Language, seed: int, number: int) -> Sides:
    """Draw pool, targets and tests of one draw from the texts that are not for pretraining.

    Raises
    ------
    DataError
        If there are too few texts.
    """
    rng = generator(seed, "influence/language/sides", number)
    _, names = split(corpus, size.model, seed)
    rare = round(size.rare * size.pool)

    def drawn(texts: list[str], count: int, side: str) -> np.ndarray:
        rows = np.concatenate([corpus.passages[name] for name in texts])
        if len(rows) < count:
            raise DataError(
                f"the corpus has {len(rows)} passages for the side '{side}', {count} are wanted"
            )
        return rows[rng.permutation(len(rows))[:count]]

    pool, targets, tests = [], [], []
    for target in size.model.targets:
        wanted = [name for name in names if corpus.source[name] == target]
        wanted = [wanted[i] for i in rng.permutation(len(wanted))]
        third = len(wanted) // 3
        pool.append(drawn(wanted[:third], rare, f"{target}, pool"))
        targets.append(drawn(wanted[third : 2 * third], size.target, f"{target}, target"))
        tests.append(drawn(wanted[2 * third :], size.test, f"{target}, test"))
    others = [name for name in names if corpus.source[name] not in size.model.targets]
    pool.append(drawn(others, size.pool - rare * len(targets), "others"))
    order = rng.permutation(size.pool)
    target_of = np.repeat([*range(len(targets)), -1], [len(part) for part in pool])[order]
    return Sides(
        torch.from_numpy(np.concatenate(pool)[order]),
        target_of,
        tuple(map(torch.from_numpy, targets)),
        tuple(map(torch.from_numpy, tests)),
    )


def compare(
    corpus: PretrainingCorpus,
    model: Transformer,
    pairs: np.ndarray,
    size: Language,
    seed: int,
    number: int,
) -> dict[str, float]:
    """Select by every method for every target, train, and return losses for one draw.

    Returns
    -------
    dict
        ``loss_<target>_<method>`` on passages of the target (natural logarithm, per token), with
        ``before`` for the warmed-up model, ``pretrained``, and ``bigram`` for a table of pairs of
        tokens from the pretraining; ``share_<target>_<method>`` of the selected passages that are
        the target's; ``correlation_<embedding>_<rule>_<landmarks>``; seconds per passage.
    """
    drawn = sides(corpus, size, seed, number)
    everything = Flat.of(model)
    losses = language_losses(everything)
    adam = AdamSettings(size.rate, size.batch_size, seed=seed, stage=f"influence/language/{number}")
    texts = (drawn.pool,)
    warm = warmed_up(losses, everything.theta, texts, adam, size.selected, size.warm_steps)
    pool = _known(model, warm, drawn, adam, size)
    numbers, chosen = choose(pool, size.selected, size.landmarks, size.landmarks_used, adam)
    weights = trained_once(losses, warm, texts, adam, size.steps)
    for k, target in enumerate(size.model.targets):
        test = (drawn.tests[k],)
        numbers[f"loss_{target}_bigram"] = bigram_loss(pairs, drawn.tests[k].numpy())
        numbers[f"loss_{target}_pretrained"] = mean_loss(losses, everything.theta, test)
        numbers[f"loss_{target}_before"] = mean_loss(losses, warm.theta, test)
        for method, by_target in chosen.items():
            rows = by_target[target]
            numbers[f"loss_{target}_{method}"] = mean_loss(losses, weights(rows), test)
            numbers[f"share_{target}_{method}"] = float((pool.target_of[rows] == k).mean())
    return numbers


def _known(
    model: Transformer, warm: AdamState, drawn: Sides, adam: AdamSettings, size: Language
) -> TextPool:
    """Return what the methods know of the pool, and what each part of it took."""
    warmed = filled(model, warm.theta)
    target = torch.cat(drawn.targets)
    of_each, gradient = scores_of_down(
        warmed, warm.frozen_step(adam), language_losses, (drawn.pool,), (target,)
    )

    def states_of(tokens: Tensor) -> Tensor:
        told = tokens[:, :-1] != PADDING
        with torch.no_grad():
            return position_weighted(warmed(tokens[:, :-1], features=True), told)

    states, forward = timed(
        lambda: torch.cat([states_of(part) for part in drawn.pool.split(256)]), len(drawn.pool)
    )
    first = Flat.of(warmed.first_blocks(size.blocks))
    tangents = draw_tangents(first.theta, 2, adam.seed, f"{adam.stage}/tangents")
    embedded, seconds = {}, []
    for kind in EMBEDDINGS:
        embedded[kind], spent = timed(
            partial(
                tangent_embeddings, _features(first, kind), first.theta, (drawn.pool,), tangents
            ),
            len(drawn.pool),
        )
        seconds.append(spent)
    embedded["dealt"] = dealt(embedded["last_state"], adam.seed, adam.stage)
    # The states that methods of representations compare, used as embeddings of landmarks.
    embedded["states"] = states
    return TextPool(
        drawn.target_of,
        size.model.targets,
        np.repeat(np.arange(len(drawn.targets)), [len(part) for part in drawn.targets]),
        of_each,
        embedded,
        EMBEDDINGS[0],
        representation_scores(states, states_of(target)),
        Seconds(forward, seconds[0], gradient),
    )


def _features(first: Flat, kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the states for embeddings: the last token's (as in the released code) or the mean."""

    def features(theta: Tensor, tokens: Tensor) -> Tensor:
        states = first(theta, tokens[:, :-1], features=True)
        told = tokens[:, :-1] != PADDING
        if kind == "last_state":
            last = told.sum(dim=1) - 1
            return states.take_along_dim(last[:, None, None], dim=1)[:, 0]
        share = told.to(states.dtype)
        return (states * share[..., None]).sum(dim=1) / share.sum(dim=1, keepdim=True)

    return features
