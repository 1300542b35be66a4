"""The test problem's first part: orders of the formulas' errors, and the second-order term.

The networks are softmax regression, a perceptron and a transformer, small enough to compute every
number: the predicted against the actual change of the target's loss, and the effect of the
second-order term on the selection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from popinv.seeds import generator
from popinv_papers.influence import influence, selection
from popinv_papers.influence.influence import (
    Flat,
    HessianProduct,
    Losses,
    Samples,
    gradient_step,
)
from popinv_papers.influence.networks import (
    Perceptron,
    Transformer,
    classification_losses,
    language_losses,
)
from popinv_papers.influence.selection import top
from popinv_papers.influence.training import AdamSettings, AdamState, begin, step, train

RATES = (0.02, 0.01, 0.005, 0.0025)
# A practical learning rate, and one at which the second-order term is seen.
CURVED_RATES = (0.01, 1.0)
# Shares of the pool that are selected.
KEPT = (0.1, 0.2, 0.4)


@dataclass(frozen=True)
class ExactnessCase:
    """A network with weights of double precision, a pool and a target."""

    name: str
    flat: Flat
    losses: Losses
    pool: Samples
    target: Samples


def cases(seed: int, number: int = 0, pool: int = 60, target: int = 20) -> Iterator[ExactnessCase]:
    """Yield a linear model, a perceptron and a transformer, on random data of a number."""
    rng = generator(seed, "influence/exactness", number)
    teacher = rng.standard_normal((6, 4))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        for name, depth in (("softmax_regression", 0), ("perceptron", 1)):
            flat = Flat.of(Perceptron(6, 4, width=16, depth=depth).double())
            x = rng.standard_normal((pool + target, 6))
            y = (x @ teacher + rng.gumbel(size=(pool + target, 4))).argmax(axis=1)
            samples = (torch.from_numpy(x), torch.from_numpy(y))
            yield _case(name, flat, classification_losses(flat), samples, pool)
        flat = Flat.of(Transformer(12, 8, width=16, heads=2, layers=2).double())
        # Each token follows the previous one by a step of 0, 1 or 2.
        strides = rng.integers(0, 3, (pool + target, 9))
        tokens = torch.from_numpy(np.cumsum(strides, axis=1) % 12)
        yield _case("transformer", flat, language_losses(flat), (tokens,), pool)


def _case(name: str, flat: Flat, losses: Losses, samples: Samples, pool: int) -> ExactnessCase:
    sides = [tuple(tensor[part] for tensor in samples) for part in (slice(pool), slice(pool, None))]
    return ExactnessCase(name, flat, losses, *sides)


def _warmed(case: ExactnessCase, seed: int, part: str) -> tuple[AdamSettings, AdamState]:
    """Return Adam's settings, and the state after a few steps on the pool."""
    settings = AdamSettings(batch_size=16, seed=seed, stage=f"influence/{part}/{case.name}")
    warm = train(case.losses, begin(case.flat.theta), case.pool, settings, 12, decay=False)
    return settings, warm


def _expansion(
    case: ExactnessCase, warm: AdamState
) -> tuple[Tensor, Tensor, Tensor, HessianProduct]:
    """Return theta, the pool's gradients G, and the target's gradient g and products with H."""
    rows = influence.sample_gradients(case.losses, warm.theta, case.pool)
    g = influence.mean_gradient(case.losses, warm.theta, case.target)
    hessian = partial(influence.hessian_product, case.losses, warm.theta, case.target)
    return warm.theta, rows, g, hessian


def error_orders(case: ExactnessCase, seed: int) -> dict[str, Any]:
    """Return the errors of the predicted change for each learning rate, and their orders.

    Weights of the pool are random. Adam is warmed up on the pool, and the step's second moment is
    frozen. ``no_order`` is the error of predicting no change. ``adam_thawed_gap`` is the relative
    difference of the change by a real step, which updates that moment, from that by the frozen
    step, at the smallest learning rate.
    """
    settings, warm = _warmed(case, seed, "exactness")
    theta, rows, g, hessian = _expansion(case, warm)
    w = torch.from_numpy(generator(seed, "influence/exactness/weights").exponential(size=len(rows)))
    mean = rows.T @ w / len(rows)

    def change(moved: Tensor) -> float:
        before, after = (influence.mean_loss(case.losses, at, case.target) for at in (theta, moved))
        return after - before

    # The moves have equal length, so that learning rates are comparable.
    steps = {"gradient": gradient_step(theta), "adam": warm.frozen_step(settings)}
    measured: dict[str, Any] = {}
    for kind, taken in steps.items():
        move = taken.move(mean)
        length = float(move.norm())
        rates = [rate / length for rate in RATES]
        actual = np.array([change(theta - rate * move) for rate in rates])
        errors = [np.abs(actual)]
        for curved in (None, hessian):
            predicted = [influence.predicted_change(move, g, rate, curved) for rate in rates]
            errors.append(np.abs(np.array(predicted) - actual))
        for order, line in zip(("no", "first", "second"), errors, strict=True):
            name = f"{case.name}_{kind}_{order}_order"
            measured[f"{name}_error_slope"] = float(np.polyfit(np.log(RATES), np.log(line), 1)[0])
            measured[f"{name}_relative_error"] = line[-1] / abs(actual[-1])
        if kind == "adam":
            thawed = change(step(warm, mean, settings, rates[-1]).theta)
            measured[f"{case.name}_adam_thawed_gap"] = abs(thawed / actual[-1] - 1)
    return measured


def second_order(case: ExactnessCase, seed: int) -> dict[str, Any]:
    """Return what the second-order term does to the selection, by optimiser and share of the pool.

    The penalty is that which leaves k weights without the term, or larger if the problem would not
    be convex. The selection with the term has the k largest weights, as far as they are positive.
    Adam's step is that after a warm-up on the pool, its second moment frozen; its rates are in
    units of the length of the step by gradient descent, so that both move the weights as far.

    Returns
    -------
    dict
        ``second_order_overlap_<optimiser>_<share>_<rate>``: share of the best k that is kept with
        the term; ``quadratic_share_<optimiser>_<rate>``: ratio of that term to the linear one, with
        the smallest k.
    """
    settings, warm = _warmed(case, seed, "curved")
    theta, rows, g, hessian = _expansion(case, warm)
    steps = {"gradient": gradient_step(theta), "adam": warm.frozen_step(settings)}
    plain = float(steps["gradient"].move(rows.mean(dim=0)).norm())
    numbers: dict[str, Any] = {}
    for kind, taken in steps.items():
        unit = plain / float(taken.move(rows.mean(dim=0)).norm())
        matrix = influence.quadratic_matrix(rows, taken, hessian).numpy()
        flattest = float(np.linalg.eigvalsh(matrix)[0])
        for rate in CURVED_RATES:
            own = rate * unit
            p = influence.linear_scores(rows, g, taken, own, hessian).numpy()
            for share in KEPT:
                size = max(2, round(share * len(p)))
                w, penalty = selection.weights_of_size(p, size)
                best = set(top(p, size))
                convex = max(penalty, -2 * own * flattest)
                curved = selection.quadratic_weights(p, matrix, own, convex)
                second = set(top(curved, size)) & set(np.flatnonzero(curved > 0))
                name = f"{case.name}_second_order_overlap_{kind}_{share:g}_{rate:g}"
                numbers[name] = len(second & best) / size
                if share == KEPT[0]:
                    ratio = float(own / 2 * (w @ matrix @ w) / (p @ w))
                    numbers[f"{case.name}_quadratic_share_{kind}_{rate:g}"] = ratio
    return numbers
