"""The test problem's fourth part: a pretrained encoder that learns to tell kinds of texts apart.

The encoder is MiniLM, whose last block and a new head are trained. There are 18 classes: the 15
categories of the Brown corpus, and letters that are easy ham, hard ham, or spam. Three groups of
classes are targets, which are rare in the pool: the press, instruction, and letters. The result is
the accuracy on a target's held-out texts, among the classes of that target. Each text is used on
one side only.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from popinv.errors import DataError
from popinv.seeds import generator
from popinv_papers.influence.influence import Flat
from popinv_papers.influence.networks import classification_losses
from popinv_papers.influence.pool_scores import (
    dealt,
    draw_tangents,
    representation_scores,
    tangent_embeddings,
    with_label,
)
from popinv_papers.influence.text_pool import (
    Seconds,
    TextPool,
    choose,
    scores_of_down,
    timed,
    trained_once,
    warmed_up,
)
from popinv_papers.influence.training import AdamSettings, AdamState, begin, train
from popinv_papers.kit.encoder import Block, Encoder, pooled, pretrained_encoder, tokenised
from popinv_papers.kit.kept import kept
from popinv_papers.kit.text import CATEGORIES, brown_passages, letter_passages
from popinv_papers.kit.training import filled

_OF_LETTERS = {
    "easy-ham-1": "easy ham",
    "easy-ham-2": "easy ham",
    "hard-ham-1": "hard ham",
    "spam-1": "spam",
    "spam-2": "spam",
}
CLASSES = (*CATEGORIES.values(), "easy ham", "hard ham", "spam")
TARGETS = {
    "press": ("reportage", "editorials", "reviews"),
    "instruction": ("religion", "hobbies", "official documents", "learned"),
    "letters": ("easy ham", "hard ham", "spam"),
}
_WIDTH = 384
_AT_ONCE = 64


@dataclass(frozen=True)
class FineTuning:
    """Size of the problem and settings of the training."""

    # Words and tokens of the longest passage.
    words: int = 44
    length: int = 64
    # Passages of a target, and of all other classes, that the draws are taken from.
    bank_of_target: int = 600
    bank_of_others: int = 2000
    pool: int = 1500
    # Share of each target in the pool.
    rare: float = 0.1
    target: int = 32
    test: int = 150
    selected: int = 100
    landmarks: tuple[int, ...] = (64, 256, 1024)
    landmarks_used: int = 256
    # Number of first blocks for the embeddings.
    blocks: int = 1
    warm_steps: int = 12
    steps: int = 50
    # Passes over the whole pool, for what it teaches with time enough.
    full_epochs: int = 3
    rate: float = 1e-3
    batch_size: int = 16


@dataclass(frozen=True)
class Texts:
    """Passages of a bank: the class of each, its target or -1, and the text that it is from."""

    words: tuple[str, ...]
    label: np.ndarray
    target: np.ndarray
    text: np.ndarray


class LastBlock(nn.Module):
    """The encoder's last block and a new head, from the states before the block."""

    def __init__(self, block: Block, classes: int) -> None:
        super().__init__()
        self.block = copy.deepcopy(block).requires_grad_(True)
        self.head = nn.Linear(_WIDTH, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, states: Tensor, told: Tensor, features: bool = False) -> Tensor:
        """Map states (n, T, 384), and which tokens count, to logits or to the texts' vectors."""
        vectors = pooled(self.block(states, told), told)
        return vectors if features else self.head(vectors)


def texts_of(brown: Path, letters: Path, size: FineTuning, seed: int) -> Texts:
    """Draw the bank: passages of whole sentences, as many of each class of a target or others."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in CLASSES}
    for kind, passages in brown_passages(brown, size.words).items():
        found[kind] += passages
    # One passage of each letter: its beginning.
    for group, passages in letter_passages(letters, size.words, 1).items():
        found[_OF_LETTERS[group]] += passages
    groups = {
        **TARGETS,
        "others": tuple(c for c in CLASSES if not any(c in kinds for kinds in TARGETS.values())),
    }
    rows = []
    for number, (group, kinds) in enumerate(groups.items()):
        wanted = size.bank_of_others if group == "others" else size.bank_of_target
        for kind in kinds:
            rng = generator(seed, f"influence/fine_tuning/{kind}")
            order = rng.permutation(len(found[kind]))[: wanted // len(kinds)]
            target = -1 if group == "others" else number
            rows += [(*found[kind][i], CLASSES.index(kind), target) for i in order]
    names, words, label, target_of = zip(*rows, strict=True)
    return Texts(words, np.array(label), np.array(target_of), np.array(names))


@dataclass(frozen=True)
class TextStates:
    """The texts as states before the last block, which tokens count, and classes."""

    texts: Texts
    states: Tensor
    told: Tensor
    label: Tensor
    embedded: Tensor
    seconds: tuple[float, float]

    def samples(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return the samples of these rows: states, which tokens count, classes."""
        index = torch.from_numpy(rows)
        return self.states[index], self.told[index], self.label[index]


def _bank(texts: Texts, encoder: Encoder, ids: Tensor, size: FineTuning, seed: int) -> TextStates:
    """Return what the encoder makes of all texts, once for all draws."""
    told = ids != 0
    first = _Pooled(encoder, size.blocks)
    flat = Flat.of(first)
    tangents = draw_tangents(flat.theta, 2, seed, "influence/fine_tuning/tangents")

    def computed() -> dict[str, np.ndarray | float]:
        with torch.no_grad():
            states, forward = timed(
                lambda: torch.cat([encoder(part, -1) for part in ids.split(_AT_ONCE)]), len(ids)
            )
            embedding_states = encoder.embedded(ids)
        embedded, spent = timed(
            lambda: tangent_embeddings(
                flat, flat.theta, (embedding_states, told), tangents, _AT_ONCE
            ),
            len(ids),
        )
        # The last of the encoder's blocks belongs to a pass forward.
        forward *= len(encoder.blocks) / (len(encoder.blocks) - 1)
        return {
            "states": states.numpy(),
            "embedded": embedded.numpy(),
            "forward": forward,
            "embedding": spent,
        }

    found = kept("fine-tuning states", computed)
    return TextStates(
        texts,
        torch.from_numpy(found["states"]),
        told,
        torch.from_numpy(texts.label),
        torch.from_numpy(found["embedded"]),
        (float(found["forward"]), float(found["embedding"])),
    )


class _Pooled(nn.Module):
    """The first blocks of an encoder, from the embedded tokens to the mean state."""

    def __init__(self, encoder: Encoder, count: int) -> None:
        super().__init__()
        self.blocks = copy.deepcopy(encoder.blocks[:count])

    def forward(self, states: Tensor, told: Tensor) -> Tensor:
        """Map embedded tokens (n, T, 384) to vectors (n, 384)."""
        for block in self.blocks:
            states = block(states, told)
        return pooled(states, told)


def _rows(texts: Texts, size: FineTuning, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return rows of the bank for the pool, and for the target and the test of each target.

    Raises
    ------
    DataError
        If the bank is too small.
    """
    rare = round(size.rare * size.pool)
    others = np.flatnonzero(texts.target < 0)
    rows = {"others": others[rng.permutation(len(others))[: size.pool - rare * len(TARGETS)]]}
    pool = [rows["others"]]
    for k, target in enumerate(TARGETS):
        of_target = np.flatnonzero(texts.target == k)
        names = np.unique(texts.text[of_target])
        third = rng.permutation(len(names)) % 3
        side = dict(zip(names, third, strict=True))
        sides = np.array([side[name] for name in texts.text[of_target]])
        for number, (part, count) in enumerate(
            (("pool", rare), ("target", size.target), ("test", size.test))
        ):
            free = of_target[sides == number]
            if len(free) < count:
                raise DataError(
                    f"the bank has {len(free)} passages for the side '{target}, {part}', {count} "
                    "are wanted; enlarge bank_of_target"
                )
            drawn = free[rng.permutation(len(free))[:count]]
            if part == "pool":
                pool.append(drawn)
            rows[f"{part}_{target}"] = drawn
    whole = np.concatenate(pool)
    return rows | {"pool": whole[rng.permutation(len(whole))]}


def compare(
    bank: TextStates, block: Block, size: FineTuning, seed: int, number: int
) -> dict[str, float]:
    """Select by every method for every target, train, and return accuracies for one draw.

    Returns
    -------
    dict
        ``accuracy_<target>_<method>`` among the target's classes on its test texts, with
        ``before`` for the warmed-up model, ``largest_class`` for always naming one class, and
        ``full`` for several passes over the pool; ``share_<target>_<method>``;
        ``correlation_<embedding>_<rule>_<landmarks>``.
    """
    place, texts = f"influence/fine_tuning/{number}", bank.texts
    rows = _rows(texts, size, generator(seed, f"{place}/rows"))
    pool = bank.samples(rows["pool"])
    flat = Flat.of(LastBlock(block, len(CLASSES)))
    losses = classification_losses(flat)
    adam = AdamSettings(size.rate, size.batch_size, seed=seed, stage=place)
    warm = warmed_up(losses, flat.theta, pool, adam, size.selected, size.warm_steps)
    known = _known(bank, flat, warm, rows, adam)
    numbers, chosen = choose(known, size.selected, size.landmarks, size.landmarks_used, adam)
    weights = trained_once(losses, warm, pool, adam, size.steps)
    passes = size.full_epochs * -(-len(rows["pool"]) // size.batch_size)
    full = train(losses, begin(warm.theta), pool, adam, passes).theta
    for k, target in enumerate(TARGETS):
        test = rows[f"test_{target}"]
        share = np.bincount(texts.label[test]).max() / len(test)
        numbers[f"accuracy_{target}_largest_class"] = float(share)
        numbers[f"accuracy_{target}_before"] = _accuracy(flat, warm.theta, bank, test, target)
        numbers[f"accuracy_{target}_full"] = _accuracy(flat, full, bank, test, target)
        for method, by_target in chosen.items():
            picked = by_target[target]
            accuracy = _accuracy(flat, weights(picked), bank, test, target)
            numbers[f"accuracy_{target}_{method}"] = accuracy
            numbers[f"share_{target}_{method}"] = float((known.target_of[picked] == k).mean())
    return numbers


def _known(
    bank: TextStates,
    flat: Flat,
    warm: AdamState,
    rows: Mapping[str, np.ndarray],
    adam: AdamSettings,
) -> TextPool:
    """Return what the methods know of the pool."""
    warmed = filled(flat.module, warm.theta)
    target = np.concatenate([rows[f"target_{name}"] for name in TARGETS])
    pool = bank.samples(rows["pool"])
    of_each, gradient = scores_of_down(
        warmed,
        warm.frozen_step(adam),
        classification_losses,
        pool,
        bank.samples(target),
        _AT_ONCE,
    )
    with torch.no_grad():
        states = [
            torch.cat([
                warmed(*(t[index] for t in (bank.states, bank.told)), features=True)
                for index in torch.from_numpy(side).split(_AT_ONCE)
            ])
            for side in (rows["pool"], target)
        ]  # fmt: skip
    mean = bank.embedded[torch.from_numpy(rows["pool"])]
    embedded = {
        "mean_state": mean,
        "mean_state_and_label": with_label(mean, pool[2], len(CLASSES)),
        "dealt": dealt(mean, adam.seed, adam.stage),
        "states": states[0],
    }
    forward, embedding = bank.seconds
    return TextPool(
        bank.texts.target[rows["pool"]],
        tuple(TARGETS),
        np.repeat(np.arange(len(TARGETS)), [len(rows[f"target_{name}"]) for name in TARGETS]),
        of_each,
        embedded,
        "mean_state_and_label",
        representation_scores(*states),
        # A gradient needs the pass through the blocks that are not trained, too.
        Seconds(forward, embedding, gradient + forward),
    )


def _accuracy(flat: Flat, theta: Tensor, bank: TextStates, rows: np.ndarray, target: str) -> float:
    """Return the share of texts whose class is the likeliest of the target's classes."""
    states, told, label = bank.samples(rows)
    own = torch.tensor([CLASSES.index(kind) for kind in TARGETS[target]])
    with torch.no_grad():
        named = own[flat(theta, states, told)[:, own].argmax(dim=1)]
    return float((named == label).double().mean())


def encoded(
    archives: tuple[Path, Path, Path], size: FineTuning, seed: int
) -> tuple[TextStates, Block]:
    """Return the texts of all draws, and the block that is trained.

    The archives hold the Brown corpus, the letters, and the encoder.
    """
    brown, letters, weights = archives
    texts = texts_of(brown, letters, size, seed)
    encoder = pretrained_encoder(weights)
    block = encoder.blocks[-1]
    assert isinstance(block, Block)
    ids = tokenised(weights, texts.words, size.length)
    return _bank(texts, encoder, ids, size, seed), block
