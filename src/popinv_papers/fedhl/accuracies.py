"""The rules on problems of classification: federations, divisions, seeds and learning rates.

``fedhl`` is the rule as quoted, with q = 2 and epsilon = 1e-6; ``fedhl_q1`` has q = 1,
``fedhl_relative`` epsilon = 1 in units of the mean of rhat^q, and ``equal`` equal weights. HetLoRA
prunes its ranks. Each rule has a learning rate of its own for each problem and number of clients:
the one of a grid with the highest accuracy for a seed that is not counted, on data that no seed
trains on or tests with, at one division.

``pooled`` is one client with all data and the full rank. A problem counts only if that learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from tqdm import tqdm

from popinv.errors import ConfigError
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv_papers.fedhl.clients import Local, Pruning, dirichlet, minibatches
from popinv_papers.fedhl.federation import Federation, run
from popinv_papers.fedhl.lora import Dense, ModuleLoss, apply
from popinv_papers.fedhl.server import Weighting
from popinv_papers.kit.kept import kept

RANKS = (4, 8, 16, 32, 64)
# Few clients that all take part, and many of whom a tenth does.
FEDERATIONS = {10: 1.0, 100: 0.1}
# Adam's learning rates, of which each rule gets its best.
LEARNING_RATES = (2e-3, 6e-3, 2e-2)
# The concentration at which learning rates are chosen.
_CHOOSING = 0.5
RULES: dict[str, dict[str, Any]] = {
    "fedhl": {"method": "fedhl", "weighting": Weighting()},
    "fedhl_q1": {"method": "fedhl", "weighting": Weighting(power=1)},
    "fedhl_relative": {"method": "fedhl", "weighting": Weighting(epsilon=1.0, relative=True)},
    "equal": {"method": "fedhl", "weighting": Weighting(power=0)},
    "hetlora": {"method": "hetlora", "pruning": Pruning()},
    "flexlora": {"method": "flexlora"},
    "flora": {"method": "flora"},
}
# What is kept of a record's rounds: how, its words, and its unit.
_RECORDED: dict[str, tuple[Callable[[Mapping[str, np.ndarray]], float], str, str]] = {
    "truncation": (
        # W is zero in the first round.
        lambda record: record["truncation"][1:].mean(),
        "norm of the truncated part over the norm of W; mean over clients and rounds",
        "1",
    ),
    "entropy": (
        lambda record: record["entropy"].mean(),
        "entropy of the weights relative to equal weights, mean over rounds",
        "1",
    ),
    "bytes": (lambda record: record["bytes"].sum(), "bytes moved in all rounds", "B"),
}


@dataclass(frozen=True)
class Division:
    """A number of clients, and the concentration of the Dirichlet law that divides the data."""

    clients: int
    concentration: float

    def __str__(self) -> str:
        known = np.isfinite(self.concentration)
        how = f"Dirichlet {self.concentration:g}" if known else "homogeneous"
        return f"{self.clients} clients, {how}"


@dataclass(frozen=True)
class Training:
    """The divisions of a problem, and its rounds, local steps and rows of a client's step."""

    divisions: tuple[Division, ...]
    rounds: int
    local_steps: int
    batch: int

    @property
    def clients(self) -> list[int]:
        """The different numbers of clients."""
        return sorted({division.clients for division in self.divisions})


@dataclass(frozen=True)
class Labelled:
    """What a module reads, and classes, to train and to test with.

    ``x`` (n, ...) holds averaged images with values from -0.5 to 0.5, (n, 196), or states of texts.
    """

    x: torch.Tensor
    labels: torch.Tensor
    test_x: torch.Tensor
    test_labels: torch.Tensor

    def largest_class(self) -> float:
        """Return the share of the largest class among those to test with."""
        return float(self.test_labels.bincount().max()) / len(self.test_labels)


def accuracy(module: nn.Module, increments: Dense, data: Labelled) -> float:
    """Return the accuracy on what is there to test with."""
    with torch.no_grad():
        told = apply(module, increments, data.test_x).argmax(dim=1)
    return float((told == data.test_labels).double().mean())


@dataclass(frozen=True)
class Adaptation:
    """What the federations of one seed adapt, and to what.

    ``shapes`` (m, n) belong to the adapted weights.
    """

    problem: str
    loss: ModuleLoss
    shapes: Mapping[str, tuple[int, int]]
    data: Labelled
    seed: int

    def watch_accuracy(self, increments: Dense) -> dict[str, float]:
        """Return the accuracy to be recorded."""
        return {"accuracy": accuracy(self.loss.module, increments, self.data)}

    def federation(self, division: Division, training: Training, rate: float) -> Federation:
        """Return clients with ranks in turn and a division of the data, for FedHL."""
        stage = f"fedhl/{division.clients}/{division.concentration:g}"
        rng = generator(self.seed, f"{stage}/division")
        parts = dirichlet(self.data.labels.numpy(), division.clients, division.concentration, rng)
        ranks = np.resize(RANKS, division.clients)
        share = FEDERATIONS[division.clients]
        return self._federation(parts, ranks, training.batch, training, rate, share, stage)

    def pooled(self, training: Training, rate: float) -> Federation:
        """Return one client with all data and full rank; a step sees the rows of ten clients."""
        everything = [np.arange(len(self.data.labels))]
        full = np.array([max(min(shape) for shape in self.shapes.values())])
        batch = 10 * training.batch
        return self._federation(everything, full, batch, training, rate, 1.0, "fedhl/pooled")

    def _federation(
        self,
        parts: Sequence[np.ndarray],
        ranks: np.ndarray,
        batch: int,
        training: Training,
        rate: float,
        share: float,
        stage: str,
    ) -> Federation:
        data = self.data
        return Federation(
            "fedhl",
            self.shapes,
            ranks,
            np.array([len(part) for part in parts]),
            minibatches(self.loss, data.x, data.labels, parts, batch, self.seed, stage),
            Local(training.local_steps, rate, "adam"),
            share=share,
            seed=self.seed,
            stage=stage,
        )

    def with_dealt_labels(self) -> Adaptation:
        """Return the same with labels to train on that say nothing about the rows."""
        order = generator(self.seed, "fedhl/dealt").permutation(len(self.data.labels))
        labels = self.data.labels[torch.from_numpy(order)]
        return replace(self, data=replace(self.data, labels=labels))


def _adapted(
    one: Adaptation, rule: str, division: Division, training: Training, rate: float
) -> dict[str, np.ndarray]:
    asked = replace(one.federation(division, training, rate), **RULES[rule])
    return kept(
        f"{one.problem}, {rule}, {division}, rate {rate:g}, seed {one.seed}",
        lambda: run(asked, training.rounds, one.watch_accuracy, f"{one.problem}, {rule}")[1],
    )


def _pooled(
    one: Adaptation, training: Training, rate: float, name: str = "pooled"
) -> dict[str, np.ndarray]:
    asked = one.pooled(training, rate)
    return kept(
        f"{one.problem}, {name}, rate {rate:g}, seed {one.seed}",
        lambda: run(asked, training.rounds, one.watch_accuracy, f"{one.problem}, {name}")[1],
    )


def _best(tried: Callable[[float], Mapping[str, np.ndarray]]) -> tuple[list[float], float]:
    """Return the last accuracy at each rate, and the rate with the highest."""
    found = [float(tried(rate)["accuracy"][-1]) for rate in LEARNING_RATES]
    return found, LEARNING_RATES[int(np.argmax(found))]


def accuracies(training: Training, pilot: Adaptation, ones: Iterable[Adaptation]) -> xr.Dataset:
    """Run every rule with every division and seed, at its best rate for the pilot.

    The pilot has a seed of its own. Each adaptation, one for each seed, is requested once, so that
    they need not be held together.

    Raises
    ------
    ConfigError
        If the pilot has the seed of an adaptation.
    """
    rates, tried = {}, np.empty((len(training.clients), len(RULES), len(LEARNING_RATES)))
    for i, clients in enumerate(training.clients):
        for j, rule in enumerate(RULES):
            division = Division(clients, _CHOOSING)
            tried[i, j], rates[clients, rule] = _best(
                partial(_adapted, pilot, rule, division, training)
            )
    _, pooled_rate = _best(partial(_pooled, pilot, training))
    seeds, curves, gates = [], [], []
    others: dict[str, list[Any]] = {name: [] for name in _RECORDED}
    for one in tqdm(ones, desc=pilot.problem, unit="seed", disable=None):
        if one.seed == pilot.seed:
            raise ConfigError(
                f"the pilot has the seed {pilot.seed} of an adaptation, must have another"
            )
        records = [
            [_adapted(one, rule, d, training, rates[d.clients, rule]) for rule in RULES]
            for d in training.divisions
        ]
        seeds.append(one.seed)
        curves.append([[record["accuracy"] for record in row] for row in records])
        for name, (of, *_) in _RECORDED.items():
            others[name].append([[of(record) for record in row] for row in records])
        learnt = _pooled(one, training, pooled_rate)
        dealt = _pooled(one.with_dealt_labels(), training, pooled_rate, "pooled, dealt labels")
        ends = (float(record["accuracy"][-1]) for record in (learnt, dealt))
        gates.append([*ends, one.data.largest_class()])
    dims = ("division", "rule", "seed")
    pooled, dealt_labels, largest = np.array(gates).T
    # The seeds come last, but for the rounds.
    accuracy_by_round = np.moveaxis(np.array(curves), 0, 2)
    return xr.Dataset(
        {
            "accuracy": variable((*dims, "round"), accuracy_by_round, "accuracy on test data"),
            "last_accuracy": variable(
                dims, accuracy_by_round[..., -1], "accuracy after the last round"
            ),
            "pilot_accuracy": variable(
                ("clients", "rule", "learning_rate"), tried, "the pilot's accuracy"
            ),
            **{
                name: variable(dims, np.moveaxis(np.array(others[name]), 0, 2), words, unit)
                for name, (_, words, unit) in _RECORDED.items()
            },
            "pooled": variable("seed", pooled, "accuracy with all data and full rank"),
            "pooled_dealt": variable("seed", dealt_labels, "the same with dealt labels"),
            "largest_class": variable("seed", largest, "share of the largest class"),
        },
        coords={
            "division": variable(
                "division", [str(d) for d in training.divisions], "clients and division"
            ),
            "rule": variable("rule", list(RULES), "rule"),
            "clients": variable("clients", training.clients, "clients of the federation"),
            "learning_rate": variable("learning_rate", list(LEARNING_RATES), "rate of Adam"),
            "seed": variable("seed", seeds, "seed"),
            "round": variable("round", np.arange(training.rounds + 1), "round"),
        },
    ).expand_dims(problem=np.array([pilot.problem]))


def joined(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the problems as one Dataset; NaN where one has no such division or round."""
    whole = xr.concat(parts, "problem", join="outer")
    # An outer join makes objects of texts.
    divisions = whole["division"].values.astype(np.str_)
    return whole.assign_coords(
        problem=variable("problem", whole["problem"].values.astype(np.str_), "problem"),
        division=variable("division", divisions, "clients and division"),
    )


def gains(result: xr.Dataset, problem: str, rule: str, other: str) -> xr.DataArray:
    """Return the gain in accuracy over another rule after the last round, (division, seed)."""
    last = result["last_accuracy"].sel(problem=problem).dropna("division", how="all")
    return last.sel(rule=rule, drop=True) - last.sel(rule=other, drop=True)
