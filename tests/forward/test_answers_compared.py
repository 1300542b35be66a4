"""The answer of a system is its own: what depends on other rows, calls or chance is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import section
from tiers import parameters
from umbridge_imitation import Imitation, serving

from popinv.errors import SolverError
from popinv.forward.external import evaluation
from popinv.forward.external.evaluation import CallLimit, evaluate

Function = Callable[[np.ndarray], np.ndarray]


class Called:
    """A function as a running simulator, which counts its rows."""

    def __init__(self, function: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self.function, self.calls, self.rows = function, 0, 0

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        self.calls, self.rows = self.calls + 1, self.rows + len(z)
        return np.array(self.function(z, self.calls), dtype=float)

    def close(self) -> None:
        pass


def solved(simulator: Called, z: np.ndarray, width: int, rows_per_call: int) -> np.ndarray:
    seeds = np.arange(len(z)) + 17 * len(z)
    return evaluate([simulator], z, seeds, width, rows_per_call, 0, CallLimit(60.0))[0]


def honest(rng: np.random.Generator, d_z: int, d_y: int) -> Function:
    """Return a function of each row by itself, of one of several shapes."""
    inner = rng.normal(size=(d_z, 300))
    outer, mixed = rng.normal(size=(300, d_y)), rng.normal(size=(d_z, d_y))
    units = 10.0 ** rng.integers(-4, 5, d_y)
    curves: dict[str, Function] = {
        "linear": lambda z: z @ mixed,
        # Sums of many terms, in matrix products whose order depends on the number of rows.
        "network": lambda z: np.tanh(z @ inner) @ outer,
        "single precision": lambda z: (
            np.tanh(z.astype(np.float32) @ inner.astype(np.float32)) @ outer.astype(np.float32)
        ),
        # What is left of terms that cancel.
        "cancelling": lambda z: (z @ inner) @ outer - z @ (inner @ outer) + z @ mixed,
        # Rounding errors are below 1e-10 of the largest entry, as the tolerance supposes. Where
        # they are more, an entry that holds nothing else is refused.
        "nothing left": lambda z: np.where(
            np.arange(d_y) > 0, (z @ inner) @ outer - z @ (inner @ outer), 2.0 + np.sin(z[:, :1])
        ),
        "decay": lambda z: np.exp(-np.abs(z[:, :1] * np.arange(1, d_y + 1) * 3)),
        "units": lambda z: np.sin(z @ mixed) * units,
        "zeros": lambda z: np.maximum(z @ mixed - 1.0, 0.0),
        "constant": lambda z: np.ones((len(z), d_y)),
    }
    return curves[rng.choice(list(curves))]


def coupled(rng: np.random.Generator, kind: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function whose rows depend on others, on the calls before, or on chance."""
    weights = rng.uniform(0.5, 1.5, size=(3, 4)) * 10.0 ** rng.integers(-2, 3, 4)
    chance, drift = np.random.default_rng(rng.integers(2**31)), rng.choice([1e-2, 1e-1, 1.0])

    def own(z: np.ndarray) -> np.ndarray:
        return np.exp(z) @ weights

    memory = [np.full(4, 3.0)]

    def stale(z: np.ndarray) -> np.ndarray:
        answers = np.vstack([memory[-1], own(z)])
        memory.append(answers[-1])
        return answers[:-1]

    kinds: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "by the mean": lambda z, call: own(z) / own(z).mean(axis=0),
        "centred": lambda z, call: own(z) - own(z).mean(axis=0),
        "by the largest": lambda z, call: own(z) / own(z).max(axis=0),
        "from the first": lambda z, call: own(z) - own(z)[0],
        "reversed": lambda z, call: own(z)[::-1],
        "moved by one": lambda z, call: np.roll(own(z), 1, axis=0),
        "running sums": lambda z, call: own(z).cumsum(axis=0),
        "sorted": lambda z, call: own(z[np.argsort(z[:, 0])]),
        "sorted answers": lambda z, call: np.sort(own(z), axis=0),
        "random": lambda z, call: own(z) * (1 + drift * chance.normal(size=(len(z), 4))),
        "random in one entry": lambda z, call: (
            own(z) * (1 + drift * chance.normal(size=(len(z), 1)) * (np.arange(4) == 2))
        ),
        "random failures": lambda z, call: np.where(call % 2, own(z), np.nan),
        "drifting": lambda z, call: own(z) * (1 + drift * call),
        "late": lambda z, call: stale(z) if call > 2 else own(z),
        "stale": lambda z, call: stale(z),
    }
    return kinds[kind]


IN_ANY_CALL = ["random", "random in one entry", "random failures", "drifting", "stale"]
AMONG_OTHERS = [
    "by the mean",
    "centred",
    "by the largest",
    "from the first",
    "reversed",
    "moved by one",
    "running sums",
    "sorted",
    "sorted answers",
]


def check_coupled(seed: int) -> int:
    """Check that each kind of coupling is refused, and return for how many kinds that was certain.

    What is certain to be seen is a fault that changes the answers of all rows but one.
    """
    rng = np.random.default_rng([1, seed])
    z = rng.normal(size=(rng.integers(2, 40), 3))
    certain = 0
    for kind in IN_ANY_CALL + AMONG_OTHERS:
        among_others = kind in AMONG_OTHERS
        function = coupled(rng, kind)
        alone = np.concatenate([function(row[None], 1) for row in z])
        unchanged = np.isclose(function(z, 1), alone, rtol=1e-9).all(axis=1).sum()
        if among_others and unchanged > 1:
            continue
        certain += 1
        size = len(z) if among_others else int(rng.integers(1, len(z) + 2))
        print(f"seed {seed}: {kind}, {len(z)} rows, {size} in a call")
        with pytest.raises(SolverError, match="the simulator gives another answer"):
            solved(Called(function), z, 4, size)
    return certain


def check_honest(seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    count, d_z, d_y = rng.integers(1, 60), rng.integers(1, 6), rng.integers(1, 8)
    z = rng.normal(size=(count, d_z)) * 10.0 ** rng.integers(-2, 2)
    function = honest(rng, d_z, d_y)
    simulator = Called(lambda z, call: function(z))
    size = int(rng.integers(1, count + 2))
    y = solved(simulator, z, d_y, size)
    # What a call gives is kept to the last digit, whatever it is compared with.
    parts = [function(z[i : i + size]) for i in range(0, count, size)]
    np.testing.assert_array_equal(y, np.concatenate(parts))
    assert simulator.rows <= count + 2


def test_rows_that_are_not_on_their_own_are_refused() -> None:
    kinds = len(IN_ANY_CALL + AMONG_OTHERS)
    certain = sum(check_coupled(seed) for seed in range(40))
    assert certain > 0.9 * 40 * kinds


def test_rows_on_their_own_pass_with_two_more_solves_at_most() -> None:
    for seed in range(200):
        check_honest(seed)


@pytest.mark.full
def test_many_couplings_are_refused_and_many_honest_functions_pass() -> None:
    for seed in range(1000, 2000):
        check_coupled(seed)
        check_honest(seed)


def test_a_fault_that_begins_after_the_first_calls_is_seen_at_the_end() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 3))
    with pytest.raises(SolverError, match="alone, after all others"):
        solved(Called(coupled(rng, "late")), z, 4, 1)


def test_systems_that_fail_are_passed_over() -> None:
    z = np.random.default_rng(0).normal(size=(12, 2))
    bad = [0, 1, 2, 7]

    def function(rows: np.ndarray, call: int) -> np.ndarray:
        return np.where(np.isin(rows[:, :1], z[bad, 0]), np.nan, rows)

    simulator = Called(function)
    for size in (1, 3, 12):
        simulator.rows = 0
        y = solved(simulator, z, 2, size)
        assert list(np.flatnonzero(np.isnan(y).any(axis=1))) == bad
        assert simulator.rows <= 14


# --- the kinds of simulators --------------------------------------------------------------------

MODULE = """
import sys
import numpy as np

rng = np.random.default_rng()

def unseeded(z):
    return z[:, :1] + rng.standard_normal((len(z), 3))

def one(z):
    return z[0] + rng.standard_normal(3)

if __name__ == "__main__":
    np.save(sys.argv[2], unseeded(np.load(sys.argv[1])))
"""


class Chance(Imitation):
    """A server whose answers are random."""

    rng = np.random.default_rng(0)

    def answer(self, question: bytes) -> None:
        if self.path != "/Evaluate":
            return super().answer(question)
        self.reply({"output": [self.rng.standard_normal(3).tolist()]})


PYTHON: dict[str, Any] = {"kind": "python", "function": "chance:unseeded"}
PROGRAM = {
    "kind": "executable",
    "command": ["{python}", "chance.py", "{input}", "{output}"],
    "format": "npy",
    "rows_per_call": 1,
}
SERVER = {"kind": "umbridge", "model": "m"}


@parameters(
    "keys, systems",
    [(PYTHON, 1), (SERVER, 5)],
    full=[
        (PROGRAM, 2),
        (PYTHON | {"rows_per_call": 1}, 2),
        (PYTHON | {"function": "chance:one", "vectorised": False}, 2),
        (SERVER, 1),
    ],
    ids=lambda given: given["kind"] if isinstance(given, dict) else str(given),
)
def test_random_answers_are_refused_by_every_kind(
    keys: dict[str, Any], systems: int, in_folder: Path
) -> None:
    Path("chance.py").write_text(MODULE)
    z = np.random.default_rng(1).normal(size=(systems, 2))
    with serving(Chance) as address:
        url = {"url": address} if keys["kind"] == "umbridge" else {}
        model = section(**keys, **url, time_limit=60).model(1)
        # It is refused again by the next attempt, whatever the journal has kept.
        for _ in range(2):
            with (
                model.journal("journal", 0.0),
                pytest.raises(SolverError, match=r"draws random numbers must draw them from"),
            ):
                model.solve(z)


def test_answers_that_change_late_are_not_taken_from_the_journal_by_the_next_attempt(
    in_folder: Path,
) -> None:
    Path("late.py").write_text(
        "calls = []\n\ndef solve(z):\n    calls.append(1)\n"
        "    return z @ [[1.0], [2.0]] + (len(calls) > 3) * len(calls)\n"
    )
    own = section(kind="python", function="late:solve", rows_per_call=1, observations={"count": 1})
    z = np.random.default_rng(1).normal(size=(8, 2))
    for _ in range(2):
        model = own.model(1)
        with model.journal("journal", 0.0), pytest.raises(SolverError, match="another answer"):
            model.solve(z)
    files = Path("journal").rglob("*.jsonl")
    kept = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({entry["key"] for entry in kept}) == 7


# What it keeps of earlier systems it gives to others that are near.
COARSE_MEMORY = """
kept = {}

def solve(z):
    return [[kept.setdefault(round(row[0]), row @ [1.0, 2.0])] for row in z]
"""


@pytest.mark.parametrize("shown", ["asked", "long solves"])
def test_answers_that_depend_on_the_process_are_refused(
    shown: str, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("memory.py").write_text(COARSE_MEMORY)
    z = np.random.default_rng(1).uniform(-0.4, 0.4, size=(8, 2))
    model = section(kind="python", function="memory:solve", observations={"count": 1}).model(1)
    # The answer of the first system is its own, and that of the last is the same as before.
    assert np.ptp(model.solve(z).observations) == 0
    again = section(kind="python", function="memory:solve", observations={"count": 1}).model(1)
    if shown == "long solves":
        monkeypatch.setattr(evaluation, "_WORTH_A_START", 0.0)
    with (
        again.renewed() if shown == "asked" else contextlib.nullcontext(),
        pytest.raises(SolverError, match="in a new process or connection, than before"),
    ):
        again.solve(z)


def test_a_session_compares_the_answers_of_its_first_solves_alone(in_folder: Path) -> None:
    Path("counting.py").write_text(
        "def solve(z):\n    open('rows', 'a').write('x' * len(z))\n    return z\n"
    )
    z = np.random.default_rng(1).normal(size=(5, 2))
    model = section(kind="python", function="counting:solve", observations={"count": 2}).model(1)
    with model.session():
        for _ in range(3):
            model.solve(z)
    assert len(Path("rows").read_text()) == 3 * 5 + 2
