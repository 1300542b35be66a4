"""The test problem: a network from digits to clothes, and a regression, each over several seeds.

The paper's tables were not readable to us, so that clients, ranks, divisions and networks are
choices of this package. ``fedhl`` is the rule as quoted, with q = 2 and epsilon = 1e-6;
``fedhl_relative`` has epsilon = 1 in units of the mean of rhat^q instead, and ``equal`` has equal
weights. Each rule has a learning rate of its own in each setting: that of a grid with the highest
accuracy for a seed that is not counted, on training images that are held back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from torch import nn
from tqdm import tqdm

from popinv.downstream.data.images import ImageSet
from popinv.downstream.fedhl import regression
from popinv.downstream.fedhl.adaptation import (
    Images,
    accuracy,
    chosen_images,
    minibatches,
    pretrained,
)
from popinv.downstream.fedhl.clients import Local
from popinv.downstream.fedhl.federation import Federation, run
from popinv.downstream.fedhl.lora import Dense, ModuleLoss, shapes_of
from popinv.downstream.fedhl.server import Weighting
from popinv.downstream.fedhl.splits import dirichlet
from popinv.downstream.kept import kept, kept_numbers
from popinv.errors import ConfigError
from popinv.seeds import generator
from popinv.store.variables import variable

__all__ = [
    "LEARNING_RATES",
    "RULES",
    "SIZES",
    "Adaptation",
    "Size",
    "adaptation",
    "fitted_exponents",
    "grid",
    "held_back",
    "merged",
    "rates",
    "regressions",
    "seeds_of",
]

RANKS = (4, 8, 16, 32, 64)
CONCENTRATIONS = (0.5,)
# Few clients that all take part, and many of whom a tenth does.
FEDERATIONS = {10: 1.0, 100: 0.1}
# Adam's learning rates, of which each rule gets its best.
LEARNING_RATES = (2e-3, 6e-3, 2e-2)
RULES: dict[str, tuple[str, Weighting]] = {
    "fedhl": ("fedhl", Weighting()),
    "fedhl_relative": ("fedhl", Weighting(epsilon=1.0, relative=True)),
    "equal": ("fedhl", Weighting(power=0)),
    "hetlora": ("hetlora", Weighting()),
    "flexlora": ("flexlora", Weighting()),
    "flora": ("flora", Weighting()),
}
# Deviations of the regression's clients for the power of T: equal, and mildly unequal.
DEVIATIONS = {"equal": 0.0, "mild": 0.034}
_BATCH = 20


@dataclass(frozen=True)
class Size:
    """The federations by number of clients, and the numbers of images, steps, rounds and seeds."""

    clients: tuple[int, ...]
    train: int
    test: int
    width: int
    pretraining: int
    rounds: int
    local_steps: int
    seeds: int
    regression_rounds: int
    horizons: tuple[int, ...]


SIZES = {
    "workstation": Size((10,), 4000, 1000, 128, 400, 15, 5, 5, 100, (25, 50, 100)),
    # The paper's own sizes are unknown to us; this one has all images.
    "paper": Size((10, 100), 60_000, 10_000, 256, 4000, 100, 20, 5, 400, (100, 200, 400, 800)),
}


@dataclass(frozen=True)
class Adaptation:
    """The loss that one seed's federations adapt, and the images that they adapt it to."""

    loss: ModuleLoss
    clothes: Images
    digits_accuracy: float
    seed: int

    def watch_accuracy(self, increments: Dense) -> dict[str, float]:
        """Return the accuracy on the test images, to be recorded."""
        return {"accuracy": accuracy(self.loss.module, increments, self.clothes)}

    def federation(self, clients: int, concentration: float, size: Size, rate: float) -> Federation:
        """Return clients with ranks in turn and a division of the images, for FedHL."""
        stage = f"fedhl/{clients}/{concentration:g}"
        labels = self.clothes.labels.numpy()
        rng = generator(self.seed, f"{stage}/division")
        parts = dirichlet(labels, clients, concentration, rng)
        gradient = minibatches(
            self.loss, self.clothes.x, self.clothes.labels, parts, _BATCH, self.seed, stage
        )
        return Federation(
            "fedhl",
            shapes_of(self.loss.module),
            np.resize(RANKS, clients),
            np.array([len(part) for part in parts]),
            gradient,
            Local(size.local_steps, rate, "adam"),
            share=FEDERATIONS[clients],
            seed=self.seed,
            stage=stage,
        )


def adaptation(digits: ImageSet, clothes: ImageSet, size: Size, seed: int) -> Adaptation:
    """Return a seed's network, trained on its digits, and its clothes."""
    ours = chosen_images(
        digits, min(size.train, len(digits.train)), size.test, seed, "fedhl/digits"
    )
    theirs = chosen_images(
        clothes, min(size.train, len(clothes.train)), size.test, seed, "fedhl/clothes"
    )
    net = pretrained(ours, size.width, size.pretraining, seed)
    known = accuracy(net, {}, ours)
    return Adaptation(ModuleLoss(net, nn.functional.cross_entropy), theirs, known, seed)


def held_back(images: ImageSet) -> ImageSet:
    """Return the training images alone, the last sixth of them as test images."""
    kept = len(images.train) - len(images.train) // 6
    train, labels = images.train, images.train_labels
    return ImageSet(train[:kept], labels[:kept], train[kept:], labels[kept:])


def _adapted(
    one: Adaptation, setting: tuple[int, float, str], rate: float, size: Size
) -> dict[str, np.ndarray]:
    clients, concentration, rule = setting
    method, weighting = RULES[rule]
    asked = replace(
        one.federation(clients, concentration, size, rate), method=method, weighting=weighting
    )
    name = f"{rule}, {clients} clients"
    return kept(
        f"{name}, {concentration:g}, rate {rate:g}, seed {one.seed}",
        lambda: run(asked, size.rounds, one.watch_accuracy, name)[1],
    )


def grid(pilot: Adaptation, adaptations: Sequence[Adaptation], size: Size) -> xr.Dataset:
    """Run every rule with every federation, division and seed, at its best rate for the pilot.

    The pilot has a seed of its own.
    """
    if pilot.seed in [one.seed for one in adaptations]:
        raise ConfigError(
            f"the pilot has the seed {pilot.seed} of an adaptation, must have another"
        )
    settings = list(itertools.product(size.clients, CONCENTRATIONS, RULES))
    shape = (len(size.clients), len(CONCENTRATIONS), len(RULES))
    tried = np.empty((len(settings), len(LEARNING_RATES)))
    curves = np.empty((len(settings), len(adaptations), size.rounds + 1))
    others = {
        name: np.empty((len(settings), len(adaptations)))
        for name in ("truncation", "entropy", "bytes")
    }
    for i, setting in enumerate(tqdm(settings, desc="federations", unit="rule", disable=None)):
        for j, rate in enumerate(LEARNING_RATES):
            tried[i, j] = _adapted(pilot, setting, rate, size)["accuracy"][-1]
        best = LEARNING_RATES[int(tried[i].argmax())]
        for k, one in enumerate(adaptations):
            record = _adapted(one, setting, best, size)
            curves[i, k] = record["accuracy"]
            others["truncation"][i, k] = record["truncation"][1:].mean()
            others["entropy"][i, k] = record["entropy"].mean()
            others["bytes"][i, k] = record["bytes"].sum()
    dims = ("clients", "concentration", "rule")
    long_names = {
        "truncation": "norm of what truncation takes, over that of W; mean over clients and rounds",
        "entropy": "entropy of the weights over that of equal ones, mean over rounds",
        "bytes": "bytes moved in all rounds",
    }
    units = {"bytes": "B"}
    return xr.Dataset(
        {
            "accuracy": variable(
                (*dims, "seed", "round"),
                curves.reshape(*shape, *curves.shape[1:]),
                "accuracy on test images",
            ),
            "pilot_accuracy": variable(
                (*dims, "learning_rate"),
                tried.reshape(*shape, -1),
                "the pilot's accuracy on images that are held back",
            ),
            **{
                name: variable(
                    (*dims, "seed"),
                    values.reshape(*shape, -1),
                    long_names[name],
                    units.get(name, "1"),
                )
                for name, values in others.items()
            },
        },
        coords={
            "clients": variable("clients", list(size.clients), "clients of the federation"),
            "concentration": variable(
                "concentration", list(CONCENTRATIONS), "concentration of the Dirichlet division"
            ),
            "rule": variable("rule", np.array(list(RULES), dtype=np.str_), "rule"),
            "learning_rate": variable("learning_rate", list(LEARNING_RATES), "rate of Adam"),
            "seed": variable("seed", [one.seed for one in adaptations], "seed"),
        },
    )


def regressions(size: Size, seeds: Sequence[int]) -> xr.Dataset:
    """Return losses, largest weights, optima and drifts of the regression's table."""
    names, rules = [case.name for case in regression.CASES], list(regression.RULES)
    shape = (len(names), len(rules), len(seeds))
    losses = np.empty((*shape, size.regression_rounds + 1))
    largest = np.empty(shape)
    optimum = np.empty((len(names), len(seeds)))
    drifts = np.empty((2, len(seeds)))
    for k, seed in enumerate(tqdm(seeds, desc="regressions", unit="seed", disable=None)):
        for case, rule, record, best in regression.rows(size.regression_rounds, seed):
            i, j = names.index(case.name), rules.index(rule)
            losses[i, j, k], largest[i, j, k] = record["loss"], record["largest_weight"][-1]
            optimum[i, k] = best
        drift = kept_numbers(
            f"drifts, seed {seed}", partial(regression.drifts, size.regression_rounds, seed)
        )
        drifts[:, k] = drift["weights"], drift["reversed"]
    dims = ("case", "regression_rule", "seed")
    return xr.Dataset(
        {
            "loss": variable((*dims, "regression_round"), losses, "mean loss of the clients"),
            "largest_weight": variable(dims, largest, "largest weight in the last round"),
            "optimum": variable(("case", "seed"), optimum, "least mean loss"),
            "drift": variable(("weights", "seed"), drifts, "drift over that of equal weights"),
        },
        coords={
            "case": variable("case", np.array(names, dtype=np.str_), "heterogeneity"),
            "regression_rule": variable("regression_rule", np.array(rules, dtype=np.str_), "rule"),
            "weights": variable("weights", np.array(["paper", "reversed"]), "weights"),
            "seed": variable("seed", list(seeds), "seed"),
        },
    )


def rates(size: Size, seeds: Sequence[int]) -> xr.Dataset:
    """Measure the mean squared gradient of the regression over T rounds, with noisy gradients.

    Plain stochastic descent with rates that fall as 1/sqrt(T), as the theorem has it; the gradient
    is that of the mean loss at W itself.
    """
    rules = regression.RATE_RULES
    values = np.empty((len(DEVIATIONS), len(rules), len(size.horizons), len(seeds)))
    places = list(itertools.product(enumerate(DEVIATIONS), enumerate(rules), enumerate(seeds)))
    for (i, spread), (j, rule), (k, seed) in tqdm(places, desc="rates", disable=None):
        found = kept(
            f"rates, {spread}, {rule}, seed {seed}", partial(_squares, spread, rule, size, seed)
        )
        values[i, j, :, k] = found["squares"]
    return xr.Dataset(
        {
            "squared_gradient": variable(
                ("spread", "rate_rule", "horizon", "seed"),
                values,
                "squared gradient, mean over rounds",
            )
        },
        coords={
            "spread": variable("spread", np.array(list(DEVIATIONS), dtype=np.str_), "clients"),
            "rate_rule": variable("rate_rule", np.array(rules, dtype=np.str_), "rule"),
            "horizon": variable("horizon", list(size.horizons), "rounds"),
            "seed": variable("seed", list(seeds), "seed"),
        },
    )


def _squares(spread: str, rule: str, size: Size, seed: int) -> dict[str, list[float]]:
    squares = regression.squared_gradients(DEVIATIONS[spread], rule, size.horizons, seed)
    return {"squares": list(squares)}


def seeds_of(size: Size, seed: int) -> Iterator[int]:
    """Yield the seeds of the repetitions; the next one is the pilot's."""
    yield from range(seed, seed + size.seeds)


def merged(*parts: xr.Dataset) -> xr.Dataset:
    """Return all parts as one Dataset."""
    return xr.merge(parts, join="exact", combine_attrs="drop_conflicts")


def fitted_exponents(rate: xr.Dataset) -> xr.DataArray:
    """Return the power of T in the mean squared gradient, along all dimensions but ``horizon``.

    A line is fitted to the logarithms.
    """
    squares = rate["squared_gradient"].transpose("horizon", ...)
    horizons = np.log(rate["horizon"].values.astype(float))
    shape = squares.shape[1:]
    slopes = np.polyfit(horizons, np.log(squares.values).reshape(len(horizons), -1), 1)[0]
    dims: list[Any] = list(squares.dims[1:])
    return xr.DataArray(slopes.reshape(shape), {d: squares[d] for d in dims}, dims)
