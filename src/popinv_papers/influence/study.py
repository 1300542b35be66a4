r"""The selection of solves to train a study's surrogate on.

The target is the population that the study has found: a few of the fresh solves drawn from it, on
which the study judges its last surrogate; the others judge here. A row's loss is the loss of the
study's training, in noise standard deviations, and errors are whitened root mean squares.
The clock is turned back to the first surrogate, which knows the broad design alone. The pool is
every solve before the fresh ones. The first surrogate is trained further on what influence
selects, by exact scores and by landmarks, on equally many random solves, on all, and on the target.

All trainings make equally many steps and keep the weights that were best on the target.
:mod:`popinv_papers.influence.candidates` chooses the candidates to solve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from popinv.errors import DataError
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.design import recency_weights, whitened_rmse
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training_problem import prepare, row_losses
from popinv.surrogate.training_state import TrainingData, TrainingSettings
from popinv_papers.influence import influence
from popinv_papers.influence.influence import Flat, rows_held
from popinv_papers.influence.pool_scores import (
    draw_landmarks,
    exact_scores,
    kernel_spread,
    output_embeddings,
)
from popinv_papers.influence.selection import round_robin
from popinv_papers.influence.training import AdamSettings, AdamState, begin, train
from popinv_papers.kit.training import filled

if TYPE_CHECKING:
    from popinv_papers.influence.method import Influence

ROUNDING = 1e-5
"""Change of a network's answers, relative to their size, that is due to single precision."""

# Number of times that a training is judged on the target.
_LOOKS = 10
_WARM_STEPS = 30
_FEWEST = 10


@dataclass(frozen=True)
class Solves:
    """The record of solves that succeeded, cut into pool, target and test."""

    z: np.ndarray
    y: np.ndarray
    round_of: np.ndarray
    pool: np.ndarray
    target: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, record: xr.Dataset, targets: int) -> Solves:
        """Cut the record, whose last round are the fresh solves: at most half are the target.

        Raises
        ------
        DataError
            If too few solves succeeded for any of the three.
        """
        kept = np.flatnonzero(record["reason"].values == 0)
        rounds = record["round"].values[kept]
        # The number that the fresh solves have, even if none of them succeeded.
        last = record.sizes["round_number"] - 1
        fresh, pool = np.flatnonzero(rounds == last), np.flatnonzero(rounds < last)
        if len(fresh) < 2 * _FEWEST or len(pool) < _FEWEST:
            raise DataError(
                f"{len(pool)} solves of the rounds and {len(fresh)} fresh ones succeeded; "
                f"selecting needs at least {_FEWEST} and {2 * _FEWEST} "
                "(assessment.surrogate_check)"
            )
        z, y = record["z"].values[kept], record["y"].values[kept]
        count = min(targets, len(fresh) // 2)
        return cls(z, y, rounds, pool, fresh[:count], fresh[count:])


class Bench:
    """One surrogate to train further, and everything its trainings share."""

    def __init__(
        self, solves: Solves, surrogate: Surrogate, settings: TrainingSettings, asked: Influence
    ) -> None:
        data = TrainingData(solves.z, solves.y)
        # All rows in their order, none held out: the target judges.
        whole = settings.replace(validation_fraction=0.0)
        problem = prepare(data, whole, surrogate)
        self.solves, self.surrogate, self.asked = solves, surrogate, asked
        self.rows = problem.training
        self.network, self.flat = problem.network, Flat.of(problem.network)
        self.theta = self.flat.theta
        self.whitening = settings.whitening
        self.adam = AdamSettings(
            settings.learning_rate, settings.batch_size, seed=settings.seed, stage=settings.stage
        )
        self.error_map = problem.error_map

    def losses(self, theta: Tensor, z: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """Return the rows' losses as the study's training weighs them."""
        return weights * row_losses(self.flat(theta, z), y, self.error_map)

    def part(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """Return the samples of these rows."""
        index = torch.from_numpy(rows)
        return tuple(tensor[index] for tensor in self.rows)

    def warm(self, rows: np.ndarray, repeat: int) -> AdamState:
        """Return the state after a few steps on these rows, for Adam's moments."""
        adam = replace(self.adam, stage=f"{self.adam.stage}/warm/{repeat}")
        return train(
            self.losses, begin(self.theta), self.part(rows), adam, _WARM_STEPS, decay=False
        )

    def trained(self, rows: np.ndarray, name: str, weights: np.ndarray | None = None) -> Surrogate:
        """Train the first surrogate further on rows, by their weights if they have any."""
        shares = None if weights is None else torch.from_numpy(weights / weights.mean())
        best, least = self.theta, self.target_loss(self.theta)
        state, steps = begin(self.theta), max(1, self.asked.steps // _LOOKS)
        for look in range(_LOOKS):
            # The rate falls to zero over all looks.
            rate = self.adam.rate * (1 - look / _LOOKS)
            stage = f"{self.adam.stage}/{name}/{look}"
            adam = replace(self.adam, rate=rate, stage=stage)
            state = train(self.losses, state, self.part(rows), adam, steps, shares, decay=False)
            loss = self.target_loss(state.theta)
            if loss < least:
                best, least = state.theta, loss
        return self.with_weights(best)

    def target_loss(self, theta: Tensor) -> float:
        """Return the mean loss of the target."""
        return influence.mean_loss(self.losses, theta, self.part(self.solves.target))

    def with_weights(self, theta: Tensor) -> Surrogate:
        """Return the surrogate with these weights of the network that is trained.

        That network has further components where the outputs of the solves need them.
        """
        return replace(self.surrogate, network=filled(self.network, theta))

    def nothing_trained(self) -> Invariant:
        """Check that the surrogate with its own weights answers the test solves as before."""
        z = self.solves.z[self.solves.test]
        before, whitening = self.surrogate.predict(z), np.asarray(self.whitening)
        moved = (self.with_weights(self.theta).predict(z) - before) @ whitening.T
        return held(
            "nothing_trained",
            "nothing trained: change of the first surrogate's answers, in standard deviations of "
            "the noise",
            float(np.abs(moved).max()),
            ROUNDING * float((np.abs(before) @ np.abs(whitening).T).max()),
        )

    def error_of(self, surrogate: Surrogate) -> float:
        """Return a surrogate's whitened error on the test solves."""
        z, y = self.solves.z[self.solves.test], self.solves.y[self.solves.test]
        # Whitening is the inverse of the covariance's lower factor.
        cholesky = np.linalg.inv(np.asarray(self.whitening))
        return whitened_rmse(surrogate.predict(z), y, cholesky)


def select_samples(
    bench: Bench, last: Surrogate, recency_decay: float
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Select solves and train on them.

    The bench has the surrogate of the first round; ``last`` is the surrogate of the last
    round, whose error is for comparison. A round has the weight ``recency_decay`` relative to the
    next, as in the study's own training.

    Returns
    -------
    Dataset
        ``error`` along ``training`` and ``repeat``; ``share`` of the selection, and of the pool,
        by ``round``.
    dict
        The same as plain numbers, with a statement.
    """
    solves, asked, seed = bench.solves, bench.asked, bench.adam.seed
    pool, stage = solves.pool, f"{bench.adam.stage}/pool"
    size = max(1, round(asked.selected * len(pool)))
    count = max(2, round(asked.landmarks * len(pool)))
    rounds = solves.round_of[pool]
    recency = recency_weights(rounds, int(rounds.max()), recency_decay)
    errors: dict[str, list[float]] = {}
    taken = np.zeros(int(rounds.max()) + 1)
    for repeat in tqdm(range(asked.repeats), desc="selections", unit="repeat", disable=None):
        warm = bench.warm(pool, repeat)
        step = warm.frozen_step(bench.adam)
        sides, at_a_time = (bench.part(pool), bench.part(solves.target)), rows_held(bench.theta)
        scores = exact_scores(bench.losses, warm.theta, step, *sides, at_a_time)
        known = draw_landmarks(len(pool), count, generator(seed, f"{stage}/landmarks", repeat))
        inputs = bench.part(pool)[0]
        embedded = output_embeddings(bench.flat, warm.theta, inputs, seed, bench.adam.stage)
        spread = kernel_spread(embedded.double().numpy(), known, scores.of_each[known])

        def turns(scores: np.ndarray, repeat: int = repeat) -> np.ndarray:
            return pool[round_robin(scores, size, generator(seed, f"{stage}/turns", repeat))]

        drawn = generator(seed, f"{stage}/random", repeat).permutation(len(pool))
        chosen = {
            "selected": turns(scores.of_each),
            "landmarks": turns(spread),
            "random": pool[drawn[:size]],
            "all": pool,
            "target": solves.target,
        }
        for name, rows in chosen.items():
            errors.setdefault(name, []).append(
                bench.error_of(bench.trained(rows, f"{name}/{repeat}"))
            )
        errors.setdefault("all_as_weighed", []).append(
            bench.error_of(bench.trained(pool, f"all_as_weighed/{repeat}", recency))
        )
        taken += np.bincount(solves.round_of[chosen["selected"]], minlength=len(taken))
    before = bench.error_of(bench.surrogate)
    whole = np.bincount(rounds, minlength=len(taken))
    means: dict[str, float] = {}
    for name, values in errors.items():
        means[f"error_{name}"] = float(np.mean(values))
        means[f"error_{name}_sd"] = float(np.std(values, ddof=1))
    shares = {"selected": taken / taken.sum(), "pool": whole / whole.sum()}
    metrics = {
        "pool": len(pool),
        "selected": size,
        "landmarks": count,
        "target": len(solves.target),
        "error_before": before,
        "error_last_surrogate": bench.error_of(last),
        **means,
        **{
            f"share_{name}_round_{i}": float(value)
            for name, values in shares.items()
            for i, value in enumerate(values)
        },
        "statement": f"trained further on {size} of {len(pool)} solves, the first "
        f"surrogate's error in the population goes from {before:.3g} to "
        f"{means['error_selected']:.3g} with those that influence selects, "
        f"{means['error_random']:.3g} with random ones, {means['error_all']:.3g} with all, and "
        f"{means['error_target']:.3g} with the {len(solves.target)} fresh solves of the target "
        "(noise standard deviations)",
    }
    names = np.array(list(errors), dtype=np.str_)
    result = xr.Dataset(
        {
            "error": variable(
                ("training", "repeat"),
                list(errors.values()),
                "error of the surrogate in the population, in noise standard deviations",
            ),
            "share": variable(
                ("side", "pool_round"), list(shares.values()), "share that is of a round"
            ),
        },
        coords={
            "training": variable("training", names, "what the surrogate is trained further on"),
            "side": variable("side", np.array(list(shares), dtype=np.str_), "selection or pool"),
        },
        attrs={"error_before": before},
    )
    return result, metrics
