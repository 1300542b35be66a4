"""Test problems that are killed and go on: no part is computed twice, and no number changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from popinv.downstream.kept import keeping
from popinv.store.checkpoints import Checkpoint

Parts = Callable[[], Mapping[str, Any]]


class Killed(Exception):
    """The end of a job before its time."""


def killed_after(stores: int, parts: Parts, folder: Path) -> list[str]:
    """Run parts until a number of stores were written, and return the parts that were read."""
    written: list[Path] = []
    write = Checkpoint.write

    def write_and_end(self: Checkpoint, arrays: Mapping[str, np.ndarray]) -> None:
        write(self, arrays)
        written.append(self.path)
        if len(written) == stores:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_end)
        with pytest.raises(Killed), keeping(folder, {}, seconds=0) as reused:
            parts()
    return reused


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        one, other = np.asarray(found[name]), np.asarray(value)
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        np.testing.assert_array_equal(one, other, err_msg=name)


def arrays_of(dataset: Any) -> dict[str, np.ndarray]:
    return {str(name): dataset[name].values for name in dataset.variables} | dict(dataset.attrs)


# --- the methods' parts, tiny --------------------------------------------------------------------


def birch() -> Mapping[str, Any]:
    from popinv.downstream.birch import problem
    from popinv.downstream.birch.objectives import quadratic
    from popinv.downstream.birch.regimes import Task

    bowl = quadratic(4, 0.2)
    tasks = [
        Task(name, bowl, share * bowl.gap, Task.octaves(0.5, 4), 400)
        for name, share in (("near", 0.2), ("never", 0.0))
    ]
    size = problem.Size(4, 28, 10, (4, 8), ("minibatch", "rennala"), seeds=2)
    promised = [problem.promise(quadratic(4, 0.2), seed) for seed in (1, 2)]
    promises = {f"{p.name} {i}": p.mean for i, one in enumerate(promised) for p in one}
    return promises | arrays_of(problem.compare(size, tasks, 1))


def bigram() -> Mapping[str, Any]:
    from popinv.downstream.bigram import problem
    from popinv.downstream.bigram.advice_trials import advice_trials
    from popinv.downstream.bigram.limits import collapse
    from popinv.downstream.bigram.steps_map import steps_map
    from popinv.downstream.bigram.text_problem import predicted_halves, text

    rng, targets = np.random.default_rng(0), (0.3, 0.2)
    named = {
        size: ([np.minimum(rng.zipf(1.6, 400) - 1, size - 1) for _ in range(10)], size)
        for size in (20, 30)
    }
    whole = problem.whole(
        collapse((100, 1000), (0.5, 1.0)),
        steps_map((100, 1000), (0.5, 1.0), targets),
        text(named, 2, 1),
        predicted_halves(named[30], 2, 1, targets),
        problem.cross_entropy_steps((5, 6)),
        advice_trials(2, 1, (0.5, 1.0), targets),
    )
    return arrays_of(whole)


METHODS: dict[str, tuple[Parts, int]] = {"birch": (birch, 30), "bigram": (bigram, 20)}
"""Each method's parts, and the number of stores after which they are killed."""


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_test_problem_goes_on_to_the_same_numbers(method: str, tmp_path: Path) -> None:
    parts, stores = METHODS[method]
    whole = parts()
    with keeping(tmp_path / "undisturbed", {}, seconds=0) as reused:
        assert_same(parts(), whole)
    assert not reused, "two parts have the same name"
    folder = tmp_path / "parts"
    assert not killed_after(stores, parts, folder)
    stored = len(list(folder.iterdir()))
    with keeping(folder, {}, seconds=0) as reused:
        assert_same(parts(), whole)
    assert len(reused) == stored > 0
