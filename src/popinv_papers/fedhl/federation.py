"""A federation: its settings, its state, and one round as a pure function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from popinv.errors import ConfigError, DivergenceError, require_known
from popinv.seeds import generator
from popinv_papers.fedhl import server
from popinv_papers.fedhl.clients import (
    Gradient,
    Local,
    Pruning,
    leading,
    penalty_gradients,
    pruned_ranks,
    sample_clients,
    train,
)
from popinv_papers.fedhl.lora import Adapters, Dense, fresh, products, truncated
from popinv_papers.fedhl.server import METHODS, Weighting


@dataclass(frozen=True)
class Federation:
    """Settings of a federation.

    Parameters
    ----------
    method : str
        One of ``server.METHODS``.
    shapes : mapping of str to (m, n)
        Shapes of the adapted layers.
    ranks : ndarray of int, shape (K,)
        Largest rank of each client.
    sizes : ndarray of shape (K,)
        Number of rows of data of each client; their shares are q_i.
    gradient : callable
        See ``clients.Gradient``.
    share : float
        Share of the clients that participate in each round.
    residual_at_client : bool
        True if FedHL freezes W - W^{r_i} into the client's base, so that training does not work
        against the truncated part. W is then sent in full. This is not part of the paper.
    pruning : Pruning, optional
        Lets the clients of HetLoRA lower their ranks.
    seed, stage : int, str
        Address of the random draws.
    """

    method: str
    shapes: Mapping[str, tuple[int, int]]
    ranks: np.ndarray
    sizes: np.ndarray
    gradient: Gradient
    local: Local
    weighting: Weighting = field(default_factory=Weighting)
    share: float = 1.0
    residual_at_client: bool = False
    pruning: Pruning | None = None
    dtype: torch.dtype = torch.float32
    seed: int = 0
    stage: str = "fedhl"

    def __post_init__(self) -> None:
        require_known(self.method, METHODS, f"method is '{self.method}'")
        if len(self.ranks) != len(self.sizes) or np.min(self.ranks) < 1:
            raise ConfigError(
                f"{len(self.ranks)} ranks from {np.min(self.ranks)} on for {len(self.sizes)} "
                "clients: must be one for each, and at least 1"
            )
        if self.residual_at_client and self.method != "fedhl":
            raise ConfigError(f"residual_at_client is for fedhl, not for '{self.method}'")
        if self.pruning is not None and self.method != "hetlora":
            raise ConfigError(f"pruning is for hetlora, not for '{self.method}'")


@dataclass(frozen=True)
class ServerState:
    """State of the server: W of every layer, and how it came about.

    ``factors`` belong to the layers and are averaged by HetLoRA, ``ranks`` (K,) belong to the
    clients and are lowered by pruning, and ``round`` is the number of past rounds.
    """

    increments: Dense
    factors: Adapters | None
    ranks: np.ndarray
    round: int = 0


def begin(federation: Federation) -> ServerState:
    """Return the state in which W is zero."""
    increments = {
        name: torch.zeros(shape, dtype=federation.dtype)
        for name, shape in federation.shapes.items()
    }
    factors, ranks = None, np.asarray(federation.ranks)
    if federation.method == "hetlora":
        rng = generator(federation.seed, f"{federation.stage}/start")
        factors = {
            name: fresh(shape, [min(ranks.max(), *shape)], [rng], federation.dtype)
            for name, shape in federation.shapes.items()
        }
    return ServerState(increments, factors, ranks)


def step(state: ServerState, federation: Federation) -> tuple[ServerState, dict[str, Any]]:
    """Run one round, and return the state after it, and a record.

    The record has ``taking_part``, ``weights`` and their ``entropy`` (relative to equal weights);
    ``truncation``, the mean over clients of |E_i| / |W|, which is 0 if W is 0 or clients lose
    nothing; and ``bytes``.
    """
    seed, stage = federation.seed, federation.stage
    rng = generator(seed, f"{stage}/clients", state.round)
    chosen = sample_clients(len(federation.ranks), federation.share, rng)
    ranks = state.ranks[chosen]
    start, offset, errors = _sent(state, federation, chosen, ranks)
    pruning, lowered, penalty = federation.pruning, ranks, None
    if pruning is not None:
        penalty = partial(penalty_gradients, ranks=ranks, pruning=pruning)
    trained = train(
        start, offset, federation.gradient, chosen, state.round, federation.local, penalty
    )
    if pruning is not None:
        lowered = pruned_ranks(start, trained, ranks, pruning)
        trained = {name: leading(f, lowered) for name, f in trained.items()}
    shares = federation.sizes[chosen] / federation.sizes[chosen].sum()
    factors, method = None, federation.method
    if method == "fedhl":
        shares = server.aggregation_weights(errors, federation.weighting)
        increments = server.weighted_changes(
            state.increments, products(start), products(trained), shares
        )
    elif method == "flexlora":
        increments = server.weighted_products(products(trained), shares)
    elif method == "flora":
        added = server.weighted_products(products(trained), shares)
        increments = {name: w + added[name] for name, w in state.increments.items()}
    else:
        shares = server.norm_weights(trained)
        factors = server.factor_mean(trained, shares)
        increments = {name: product[0] for name, product in products(factors).items()}
    if not all(torch.isfinite(w).all() for w in increments.values()):
        raise DivergenceError(
            f"{method}: the increments are not finite after round {state.round + 1}, at a rate of "
            f"{federation.local.rate:g} with {federation.local.steps} local steps: lower either"
        )
    norm = _norm(state.increments)
    info = {
        "taking_part": chosen,
        "weights": shares,
        "entropy": server.entropy(shares),
        "truncation": float(np.sqrt(errors).mean() / norm) if norm > 0 else 0.0,
        "bytes": server.round_bytes(
            method,
            federation.shapes,
            ranks,
            len(federation.ranks),
            torch.finfo(federation.dtype).bits // 8,
            federation.residual_at_client,
        ),
    }
    now = state.ranks.copy()
    now[chosen] = lowered
    return ServerState(increments, factors, now, state.round + 1), info


def _norm(increments: Dense) -> float:
    return float(sum((w.double() ** 2).sum() for w in increments.values())) ** 0.5


def _sent(
    state: ServerState, federation: Federation, chosen: np.ndarray, ranks: np.ndarray
) -> tuple[Adapters, Dense | None, np.ndarray]:
    """Return factors and offset from which clients start, and their squared errors."""
    if state.factors is not None:
        start = {name: leading(f, ranks) for name, f in state.factors.items()}
        lost = server.residuals(state.increments, products(start))
        squares = sum((e.double() ** 2).sum(dim=(1, 2)) for e in lost.values())
        return start, None, torch.as_tensor(squares).numpy()
    # Every client draws its own numbers, layer after layer.
    rngs = [
        generator(federation.seed, f"{federation.stage}/fresh/{client}", state.round)
        for client in chosen
    ]
    empty = {
        name: fresh(shape, np.minimum(ranks, min(shape)).tolist(), rngs, federation.dtype)
        for name, shape in federation.shapes.items()
    }
    if federation.method == "flora":
        return empty, state.increments, np.zeros(len(chosen))
    decomposition = server.decompose(state.increments)
    start = {name: truncated(*decomposition[name], empty[name], ranks.tolist()) for name in empty}
    offset = None
    if federation.residual_at_client:
        offset = server.residuals(state.increments, products(start))
    return start, offset, server.squared_truncation_errors(decomposition, ranks.tolist())


def run(
    federation: Federation,
    rounds: int,
    watch: Callable[[Dense], Mapping[str, float]],
    description: str = "rounds",
) -> tuple[ServerState, dict[str, np.ndarray]]:
    """Run many rounds, and return the last state, and a record.

    ``watch`` maps the increments at the start and after every round to the values to record, rounds
    + 1 numbers each. The record also has ``truncation``, ``entropy``, ``largest_weight`` and
    ``bytes`` of each round.
    """
    state = begin(federation)
    seen = [watch(state.increments)]
    done: dict[str, list[float]] = {
        k: [] for k in ("truncation", "entropy", "bytes", "largest_weight")
    }
    for _ in tqdm(range(rounds), desc=description, unit="round", disable=None):
        state, info = step(state, federation)
        seen.append(watch(state.increments))
        for name in ("truncation", "entropy", "bytes"):
            done[name].append(info[name])
        done["largest_weight"].append(float(info["weights"].max()))
    record = {name: np.array([s[name] for s in seen]) for name in seen[0]}
    return state, record | {name: np.array(values) for name, values in done.items()}
