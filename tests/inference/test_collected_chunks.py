"""Only chunks of the round's own proposals, simulator, code and seed are collected."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tiers import parameters

from popinv.errors import DataError
from popinv.forward.base import Observations, Solutions
from popinv.forward.datasets import solves
from popinv.inference.stages.collect_solves import collect_solves
from popinv.store import storage
from popinv.store.variables import variable

WHERE = Observations(np.array([[0.25], [0.75]]), ("x",), "u")
SOLVER: dict[str, Any] = {
    "forward": {"kind": "python", "observations": {"times": [0.1, 0.2], "count": None}},
    "simulator": "abc",
    "code": "def",
}
Z = np.random.default_rng(0).standard_normal((11, 2))
SIZE = 3


class Round:
    """The chunks of a round and its proposals, as stores in a folder."""

    def __init__(self, folder: Path, seed: int = 3, solver: Any = SOLVER, z: Any = Z) -> None:
        self.folder = folder
        proposed = xr.Dataset({"z": variable(("sample", "parameter"), Z, "parameters")})
        storage.save(proposed, folder / "proposals", config={}, seed=3, created_by="test")
        self.chunks = [
            self._stored(z[start : start + SIZE], seed, solver) for start in range(0, len(Z), SIZE)
        ]

    def _stored(self, z: np.ndarray, seed: int, solver: Any) -> xr.Dataset:
        y = np.column_stack([z.sum(axis=1), z[:, 0]])
        answered = Solutions(y, np.full(len(z), "", dtype=object))
        store = self.folder / "chunk"
        made = solves(z, answered, ["a", "b"], WHERE)
        storage.save(made, store, config=solver, seed=seed, created_by="test")
        return storage.load(store)

    def collected(self, chunks: list[xr.Dataset] | None = None) -> xr.Dataset:
        # A large table of proposals stays in its store.
        proposals = storage.load(self.folder / "proposals", stored=("z",), stays_from=0)
        return collect_solves(
            self.chunks if chunks is None else chunks,
            seed=3,
            round_name="0",
            failure_budget=0.0,
            solver=SOLVER,
            proposals=proposals,
        )


@pytest.fixture
def own(tmp_path: Path) -> Round:
    return Round(tmp_path)


def changed(value: Any, rng: random.Random) -> Any:
    """Return a section with one thing changed."""
    if isinstance(value, dict):
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {name: inner for name, inner in value.items() if name != key}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list):
        return [*value[:-1], changed(value[-1], rng)]
    return rng.choice(["other", 7.5, False])


def test_the_chunks_of_the_round_are_collected(own):
    np.testing.assert_array_equal(own.collected()["z"].values, Z)


@parameters("every", [True], full=[False])
def test_chunks_of_any_other_settings_are_refused(own, tmp_path, every):
    rng = random.Random(1)
    for _ in range(4):
        other = Round(tmp_path / "other", solver=changed(SOLVER, rng))
        chunks = list(own.chunks)
        at = range(len(chunks)) if every else [rng.randrange(len(chunks))]
        for number in at:
            chunks[number] = other.chunks[number]
        match = rf"chunk {at[0]} of the solves was made with other settings:\n.*stored .*, now "
        with pytest.raises(DataError, match=match):
            own.collected(chunks)


def test_chunks_of_another_seed_or_of_a_version_that_did_not_say_it_are_refused(own, tmp_path):
    with pytest.raises(DataError, match="seed: stored 4, now 3"):
        own.collected(Round(tmp_path / "seed", seed=4).chunks)
    older = {"forward": SOLVER["forward"]}
    with pytest.raises(DataError, match="code: stored None, now 'def'"):
        own.collected(Round(tmp_path / "older", solver=older).chunks)


@pytest.mark.full
def test_chunks_of_other_parameters_are_refused(own, tmp_path):
    rng = np.random.default_rng(2)
    for _ in range(15):
        z = Z.copy()
        z[rng.integers(len(z)), rng.integers(2)] += 1e-9
        with pytest.raises(DataError, match=r"chunk \d has other parameters|chunk \d of the"):
            own.collected(Round(tmp_path / "other", z=z).chunks)
        order = rng.permutation(len(own.chunks))
        if np.any(order != np.arange(len(order))):
            with pytest.raises(DataError, match="has other parameters than were proposed"):
                own.collected([own.chunks[number] for number in order])


def test_too_few_or_too_many_solves_are_refused(own):
    with pytest.raises(DataError, match="the chunks hold 9 solves, and 11 were proposed"):
        own.collected(own.chunks[:-1])
    with pytest.raises(DataError, match="has other parameters"):
        own.collected([*own.chunks, own.chunks[0]])
