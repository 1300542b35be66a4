"""Functions of one system: what they are given and return, and advice for functions unlike it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import problem, refused, section
from tiers import parameters

from popinv.errors import SolverError
from popinv.forward.base import ClaimedDerivatives

MODULE = """
    import numpy as np

    TIMES = np.arange(3.0)

    def solve(z):
        a, b = z
        if b == 7:
            raise ValueError("no root")
        return [a, a * b, np.sin(b)]

    def of_everything(z, design, times, seed, jacobian=False):
        assert z.shape == (2,) and design.shape == (1,) and isinstance(seed, int)
        return z[0] * times + design[0] + seed % 2

    def pair(z, jacobian=False):
        a, b = z
        j = [[1, 0], [b, a], [0, np.cos(b)]]
        return (solve(z), j) if jacobian else solve(z)

    def tensor(z):
        import torch
        a, b = z
        return torch.stack([a, a * b, torch.sin(b)])

    def curve(z):
        return z[0] * TIMES

    def number(z):
        return z[0] * z[1]

    def row(z):
        return [solve(z)]

    def ragged(z):
        return solve(z)[: 2 + (z[0] < 0)]

    def swapped(z):
        return solve(z), np.zeros((3, 2, 1))

    def table(z):
        if (z[:, 1] == 7).any():
            raise ValueError("no root")
        return np.array([solve(row) for row in z])

    def neither(z):
        raise RuntimeError("no licence")
"""
Z = np.array([[-1.0, 0.5], [2.0, 1.5], [0.5, 7.0], [1.0, 1.0]])
GOOD = Z[[0, 1, 3]]


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("simulator.py").write_text(textwrap.dedent(MODULE))


def model(function: str, vectorised: bool = False, **keys: Any):
    keys = {"time_limit": 20, **keys}
    kind = {"kind": "python", "function": f"simulator:{function}", "vectorised": vectorised}
    return section(**kind, **keys).model(1)


def expected(z: np.ndarray) -> np.ndarray:
    a, b = z.T
    return np.stack([a, a * b, np.sin(b)], axis=1)


def test_systems_are_solved_one_by_one() -> None:
    solutions = model("solve").solve(Z)
    np.testing.assert_allclose(solutions.observations[[0, 1, 3]], expected(GOOD), rtol=1e-15)
    assert [bool(reason) for reason in solutions.reason] == [False, False, True, False]
    assert "ValueError: no root" in solutions.reason[2]
    assert "vectorised" not in solutions.reason[2]


def test_each_system_has_its_own_design_and_seed() -> None:
    times = {"times": [0, 1, 2]}
    own = model("of_everything", design=["dose"], observations=times)
    z = np.column_stack([GOOD, [10.0, 20.0, 30.0]])
    solutions = own.solve(z)
    assert not solutions.failed.any(), solutions.reason
    rest = solutions.observations - z[:, :1] * np.arange(3) - z[:, 2:]
    assert set(rest.ravel()) <= {0.0, 1.0}
    again = own.solve(z[1:], first=1)
    np.testing.assert_array_equal(again.observations, solutions.observations[1:])


def test_one_observation_may_be_a_number() -> None:
    solutions = model("number", observations={"count": 1}).solve(GOOD)
    np.testing.assert_array_equal(solutions.observations[:, 0], GOOD.prod(axis=1))


@parameters("function, source", [("tensor", "torch")], full=[("pair", "jacobian")])
def test_derivatives_of_one_system(function: str, source: str) -> None:
    own = model(function, derivatives=source)
    assert isinstance(own, ClaimedDerivatives)
    with own.session():
        np.testing.assert_allclose(own.solve(GOOD).observations, expected(GOOD), rtol=1e-15)
        assert own.check_derivatives(GOOD)
        assert own.vjp(GOOD, np.ones((3, 3))).shape == (3, 2)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("row", "arrays of shape (1, 3), but with 'vectorised: false' it returns the observations"),
        ("ragged", "arrays of shape (3,) and (2,), but with"),
        ("curve", "an array of shape (1, 3) for 1 system(s), but (1, 4) is expected"),
    ],
)
def test_other_results_are_refused(function: str, words: str) -> None:
    count = 4 if function == "curve" else 3
    own = model(function, observations={"count": count})
    with refused(SolverError, words):
        own.solve(GOOD)


def test_a_jacobian_of_another_shape_is_refused() -> None:
    own = model("swapped", derivatives="jacobian")
    with pytest.raises(SolverError, match="returns the Jacobian of one system"):
        own.vjp(GOOD, np.ones((3, 3)))


# --- advice -------------------------------------------------------------------------------------


def test_a_function_that_fails_for_tables_is_advised() -> None:
    solutions = model("solve", vectorised=True).solve(GOOD)
    assert solutions.failed.all()
    for reason in solutions.reason:
        assert "ValueError: not enough values to unpack" in reason
        assert "It works for one system" in reason
        assert "'forward.vectorised: false'" in reason


def test_a_function_that_returns_a_row_for_a_table_is_advised() -> None:
    words = "array of shape (3,) for a table of shape (1, 1)", "'forward.vectorised: false'"
    with refused(SolverError, *words):
        model("curve", vectorised=True, parameters=["a"]).solve(GOOD[:, :1])


def test_a_row_of_another_length_is_no_reason_for_advice() -> None:
    own = model("curve", vectorised=True, parameters=["a"], observations={"count": 4})
    with pytest.raises(SolverError) as caught:
        own.solve(GOOD[:, :1])
    assert "(1, 4) is expected" in str(caught.value)
    assert "vectorised" not in str(caught.value)


@pytest.mark.parametrize("function", ["table", "neither"])
def test_functions_that_fail_for_other_reasons_are_not(function: str) -> None:
    solutions = model(function, vectorised=True).solve(Z[::-1])
    assert solutions.failed[1]
    assert not any("vectorised" in reason for reason in solutions.reason)


def test_the_key_is_true_or_false() -> None:
    assert "vectorised" in problem(kind="python", function="simulator:solve", vectorised="no")
