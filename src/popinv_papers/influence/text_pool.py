"""What each method selects from a pool of texts, for several targets at once.

The targets share the pool, its exact scores and its embeddings. A method chooses for each target by
the scores of that target's samples alone. Two methods share the time of one: *landmarks at equal
seconds* looks at as much of the pool as the processor time of a comparison of representations pays
for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from popinv.seeds import generator
from popinv_papers.influence.influence import Flat, Losses, Samples, Step
from popinv_papers.influence.pool_scores import exact_scores, kernel_spread, spread_scores
from popinv_papers.influence.selection import round_robin
from popinv_papers.influence.training import AdamSettings, AdamState, begin, train

T = TypeVar("T")


@dataclass(frozen=True)
class Seconds:
    """Processor time for one text of the pool: a pass forward, an embedding, a gradient."""

    forward: float
    embedding: float
    gradient: float

    def affordable(self, pool: int, few: int) -> int:
        """Return the texts that ``few`` landmarks and the rest's embeddings pay for, at most all.

        The budget is a pass forward for each text of the pool.
        """
        left = pool * self.forward - few * self.gradient
        return int(np.clip(left / self.embedding, 0, pool))


@dataclass(frozen=True)
class TextPool:
    """A pool of n texts, and what the methods know of it.

    Attributes
    ----------
    target_of : ndarray of int, shape (n,)
        The number of the target that a text belongs to, or -1.
    columns : ndarray of int, shape (m,)
        The target of each target sample.
    of_each : ndarray of shape (n, m)
        Exact scores.
    embedded : mapping of str to Tensor of shape (n, h)
    main : str
        The embedding that is used at equal seconds.
    representations : ndarray of shape (n, m)
        Cosines of states.
    """

    target_of: np.ndarray
    targets: tuple[str, ...]
    columns: np.ndarray
    of_each: np.ndarray
    embedded: Mapping[str, Tensor]
    main: str
    representations: np.ndarray
    seconds: Seconds


def timed(call: Callable[[], T], count: int) -> tuple[T, float]:
    """Return what a call computes for ``count`` texts, and its processor time for one."""
    began = time.process_time()
    found = call()
    return found, (time.process_time() - began) / count


def warmed_up(
    losses: Losses, theta: Tensor, pool: Samples, adam: AdamSettings, selected: int, steps: int
) -> AdamState:
    """Return the state after a few steps on random texts of the pool."""
    order = generator(adam.seed, f"{adam.stage}/warm").permutation(len(pool[0]))
    few = torch.from_numpy(order[:selected])
    some = tuple(tensor[few] for tensor in pool)
    return train(losses, begin(theta), some, adam, steps, decay=False)


def scores_of_down(
    warmed: nn.Module,
    step: Step,
    losses_of: Callable[[Flat], Losses],
    pool: Samples,
    target: Samples,
    rows: int = 256,
) -> tuple[np.ndarray, float]:
    """Return exact scores (n, m), and the processor time for one gradient.

    As in the released code, gradients are taken of the layers that lead down from the wide ones.
    The step is the optimiser's next one in all weights, and ``losses_of`` maps a network to the
    losses of samples. Gradients of ``rows`` samples are held at a time.
    """

    def down(name: str) -> bool:
        return ".down." in name

    of_some = Flat.of(warmed, down)
    kept = torch.cat(
        [torch.full((p.numel(),), down(name)) for name, p in warmed.named_parameters()]
    )
    some = Step(step.scale[kept], step.drift[kept])
    scores, seconds = timed(
        lambda: exact_scores(losses_of(of_some), of_some.theta, some, pool, target, rows),
        len(pool[0]) + len(target[0]),
    )
    return scores.of_each, seconds


def trained_once(
    losses: Losses, warm: AdamState, pool: Samples, adam: AdamSettings, steps: int
) -> Callable[[np.ndarray], Tensor]:
    """Return a function from numbers of texts to the weights after a training on these.

    Choices that do not depend on the target are trained on once.
    """
    trained: dict[bytes, Tensor] = {}

    def weights(rows: np.ndarray) -> Tensor:
        key = rows.tobytes()
        if key not in trained:
            samples = tuple(part[torch.from_numpy(rows)] for part in pool)
            trained[key] = train(losses, begin(warm.theta), samples, adam, steps).theta
        return trained[key]

    return weights


def choose(
    pool: TextPool, selected: int, sizes: Sequence[int], used: int, adam: AdamSettings
) -> tuple[dict[str, float], dict[str, dict[str, np.ndarray]]]:
    """Select by every method, with draws at the address of Adam's.

    Correlations are by ``sizes`` of landmarks; selections are by ``used`` of them.

    Returns
    -------
    numbers : dict
        Correlations with the exact scores, and ``texts_at_equal_seconds``.
    chosen : dict
        Numbers of the selected texts by method and target. ``random`` and ``all`` are the same for
        all targets.
    """
    count, seed, place = len(pool.target_of), adam.seed, adam.stage
    numbers, known = spread_scores(pool.embedded, pool.of_each, sizes, used, seed, place)

    def turns(scores: np.ndarray, target: int) -> np.ndarray:
        rng = generator(seed, f"{place}/turns", target)
        return round_robin(scores[:, pool.columns == target], selected, rng)

    scores = {
        **{f"landmarks_{kind}": known[kind] for kind in known if kind != "states"},
        "representations": pool.representations,
        "exact": pool.of_each,
    }
    chosen = {
        method: {name: turns(found, k) for k, name in enumerate(pool.targets)}
        for method, found in scores.items()
    }
    seen, spread = _at_equal_seconds(pool, selected, sizes[0], seed, place)
    numbers["texts_at_equal_seconds"] = float(len(seen))
    chosen["landmarks_equal_seconds"] = {
        name: seen[turns(spread, k)] for k, name in enumerate(pool.targets)
    }
    chosen["target_texts"] = {
        name: np.flatnonzero(pool.target_of == k)[:selected] for k, name in enumerate(pool.targets)
    }
    random = generator(seed, f"{place}/random").permutation(count)[:selected]
    chosen["random"] = dict.fromkeys(pool.targets, random)
    chosen["all"] = dict.fromkeys(pool.targets, np.arange(count))
    return numbers, chosen


def _at_equal_seconds(
    pool: TextPool, selected: int, few: int, seed: int, place: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the texts that the time of a comparison of representations pays for, and scores."""
    count = len(pool.target_of)
    # At least as many as are selected, of which the choice is then none.
    paid = max(pool.seconds.affordable(count, few), selected, few)
    seen = generator(seed, f"{place}/seen").permutation(count)[:paid]
    embedded = pool.embedded[pool.main][torch.from_numpy(seen)].double().numpy()
    of_each = pool.of_each[seen]
    marks = np.arange(few)
    return seen, kernel_spread(embedded, marks, of_each[marks])
