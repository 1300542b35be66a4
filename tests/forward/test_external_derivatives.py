"""Derivatives of simulators of one's own: Taylor tests, adjoints, and claims that are wrong."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import refused, section
from tiers import parameters
from umbridge_running import running_server

from popinv.errors import SolverError
from popinv.forward.base import ClaimedDerivatives, DifferentiableModel, Solutions
from popinv.forward.external.taylor import derivative_fault
from popinv.forward.python.autograd import from_torch
from popinv.forward.python.derivatives import NotNumbers
from popinv.inference.density.solver import SolverSimulator

# y = (a b, a^2, sin b). b chooses what happens to a row: 7 raises, 8 has no end.
MODULE = """
    import time
    import numpy as np

    def fate(b):
        if (b == 7).any():
            raise ValueError("no root")
        if (b == 8).any():
            time.sleep(60)

    def solve(z):
        a, b = z.T
        fate(b)
        return np.stack([a * b, a * a, np.sin(b)], axis=1)

    def jacobian(z):
        a, b = z.T
        o = np.zeros_like(a)
        rows = [[b, a], [2 * a, o], [o, np.cos(b)]]
        return np.stack([np.stack(row, axis=1) for row in rows], axis=1)

    def pair(z):
        return solve(z), jacobian(z)

    def asked(z, jacobian=False):
        return pair(z) if jacobian else solve(z)

    def seeded(z, seeds):
        draws = np.array([np.random.default_rng(seed).standard_normal(3) for seed in seeds])
        return solve(z) + draws, jacobian(z)

    def positive(z):
        if (z <= 0).any():
            raise ValueError("not positive")
        return pair(z)

    def swapped(z):
        y, j = pair(z)
        return y, j[:, :, ::-1]

    def one_entry(z):
        y, j = pair(z)
        j[:, 2, 1] *= 0.9
        return y, j

    def transposed(z):
        y, j = pair(z)
        return y, j.transpose(0, 2, 1)

    def summed(z):
        return solve(z), jacobian(z).sum(axis=0)

    def mixed(z):
        y, j = pair(z)
        return y, j - j.mean(axis=0) + j[:1]

    def other_values(z, jacobian=False):
        return (1.1 * solve(z), pair(z)[1]) if jacobian else solve(z)

    def no_slope(z, jacobian=False):
        if jacobian:
            raise ArithmeticError("no slope")
        return solve(z)

    def not_finite(z):
        y, j = pair(z)
        return y, j / 0

    def coarse(z):  # as a solver that stops early
        y, j = pair(z)
        return np.round(y, 3), j

    def process(z):
        fate(z[:, 1])
        import os
        return np.full((len(z), 3), float(os.getpid())), 0 * jacobian(z)

    def seeded_swapped(z, seeds):
        y, j = seeded(z, seeds)
        return y, j[:, :, ::-1]
"""
TENSORS = """
    import time
    import torch

    def solve(z):
        a, b = z.T
        if (b == 7).any():
            raise ValueError("no root")
        if (b == 8).any():
            time.sleep(60)
        return torch.stack([a * b, a * a, torch.sin(b)], dim=1)

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        def backward(ctx, grad):
            return grad * torch.cos(ctx.saved_tensors[0])

    def backwards(z):
        a, b = z.T
        return torch.stack([a * b, a * a, Sine.apply(b)], dim=1)

    def cut(z):
        a, b = z.T
        return torch.stack([a * b, a * a, torch.sin(b.detach())], dim=1)

    def cut_off(z):
        return solve(z.detach())

    def arrays(z):
        return solve(z).numpy()
"""
Z = np.random.default_rng(0).uniform(0.5, 1.5, (5, 2))


@pytest.fixture(scope="module", autouse=True)
def _files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("files"))
        Path("own").mkdir()
        Path("own/simulator.py").write_text(textwrap.dedent(MODULE))
        Path("own/tensors.py").write_text(textwrap.dedent(TENSORS))
        yield


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("umbridge")
    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def function(name: str, derivatives: str | None = "jacobian", **keys: Any) -> Any:
    module = "tensors" if derivatives == "torch" else "simulator"
    keys = {"path": "own", "time_limit": 20, **keys}
    target = f"{module}:{name}"
    return section(kind="python", function=target, derivatives=derivatives, **keys).model(1)


def server(url: str, model: str, **keys: Any) -> Any:
    keys = {"time_limit": 20, "retries": 0, **keys}
    return section(kind="umbridge", url=url, model=model, **keys).model(seed=1)


each_way = parameters(
    "model",
    [("pair", "jacobian"), ("asked", "jacobian"), ("backwards", "torch"), ("gradient", "server")],
    full=[
        ("seeded", "jacobian"), ("solve", "torch"), ("both", "server"), ("apply_jacobian", "server")
    ],
    indirect=True,
    ids="-".join,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest) -> Iterator[Any]:
    name, source = request.param
    if source == "server":
        yield server(request.getfixturevalue("url"), name)
        return
    made = function(name, source)
    # A start takes longer than all else.
    with made.session():
        yield made


@each_way
def test_the_remainder_of_taylor_is_of_second_order(model: Any) -> None:
    assert isinstance(model, DifferentiableModel)
    assert SolverSimulator(model).differentiable
    tangent = np.random.default_rng(1).standard_normal(Z.shape)
    y, (change,) = model.jvp(Z, tangent[None])
    np.testing.assert_allclose(y, model.solve(Z).observations, rtol=1e-14)
    remainders = [
        np.abs(model.solve(Z + h * tangent).observations - y - h * change).max(axis=1)
        for h in (1e-2, 1e-3)
    ]
    orders = np.log10(remainders[0] / remainders[1])
    assert np.all(np.abs(orders - 2) < 0.1), orders


@each_way
def test_the_adjoint_is_that_of_the_tangents(model: Any) -> None:
    rng = np.random.default_rng(2)
    tangents, cotangents = rng.standard_normal((2, *Z.shape)), rng.standard_normal((len(Z), 3))
    _, changes = model.jvp(Z, tangents)
    gradient = model.vjp(Z, cotangents)
    assert gradient.shape == Z.shape
    forwards, backwards = (changes * cotangents).sum(axis=2), (tangents * gradient).sum(axis=2)
    np.testing.assert_allclose(forwards, backwards, rtol=1e-12, atol=1e-14)


@each_way
def test_what_is_right_passes_the_check(model: Any) -> None:
    assert isinstance(model, ClaimedDerivatives)
    assert model.check_derivatives(Z)
    assert model.check_derivatives(Z[:1])


@parameters("kind", ["jacobian", "server"], full=["torch"])
def test_rows_that_cannot_be_solved_are_nan_and_leave_the_others_alone(kind, url) -> None:
    model = server(url, "both") if kind == "server" else function(
        "pair" if kind == "jacobian" else "solve", kind
    )  # fmt: skip
    broken = Z.copy()
    broken[1, 1], broken[3, 0] = 7, np.nan
    tangents, cotangents = np.ones((1, *Z.shape)), np.ones((len(Z), 3))
    cotangents[4] = np.inf
    with model.session() if kind == "torch" else nullcontext():
        y, changes = model.jvp(broken, tangents)
        gradient = model.vjp(broken, cotangents)
        alone, whole = model.solve(Z[[0, 2, 4]]).observations, model.vjp(Z, cotangents)
    bad = np.isin(np.arange(len(Z)), [1, 3])
    np.testing.assert_array_equal(np.isnan(y), np.tile(bad[:, None], 3))
    np.testing.assert_array_equal(np.isnan(changes[0]), np.isnan(y))
    assert np.isnan(gradient[bad]).all()
    assert np.isnan(gradient[4]).all()
    np.testing.assert_allclose(y[~bad], alone, rtol=1e-14)
    np.testing.assert_allclose(gradient[[0, 2]], whole[[0, 2]], rtol=1e-14)


def test_directions_that_are_not_finite_are_not_passed_on(url: str) -> None:
    # Ten systems that take the connection with them would stop the run.
    z, cotangents = np.tile(Z, (3, 1)), np.full((15, 3), np.inf)
    assert np.isnan(server(url, "both").vjp(z, cotangents)).all()


@parameters("name, kind", [("pair", "jacobian")], full=[("solve", "torch")])
def test_a_derivative_without_end_is_stopped(name: str, kind: str) -> None:
    z = Z[:3].copy()
    z[1, 1] = 8
    y, _ = function(name, kind, time_limit=2, rows_per_call=1).jvp(z, np.ones((1, 3, 2)))
    np.testing.assert_array_equal(np.isnan(y[:, 0]), [False, True, False])


@pytest.mark.full
@parameters("name", ["pair"], full=["asked"])
def test_rows_do_not_depend_on_how_they_are_called(name: str) -> None:
    whole, parts = function(name), function(name, rows_per_call=2, parallel=2)
    tangents = np.random.default_rng(3).standard_normal((2, *Z.shape))
    for ours, others in zip(whole.jvp(Z, tangents), parts.jvp(Z, tangents), strict=True):
        np.testing.assert_allclose(ours, others, rtol=1e-14)
    np.testing.assert_allclose(whole.vjp(Z, np.ones((5, 3))), parts.vjp(Z, np.ones((5, 3))))


def test_a_session_has_one_process_for_all_calls() -> None:
    model = function("process", time_limit=2)
    simulate = SolverSimulator(model)

    def process() -> int:
        return int(model.jvp(Z, np.ones((1, *Z.shape)))[0][0, 0])

    assert process() != process()
    with simulate.session():
        first = process()
        model.vjp(Z, np.ones((len(Z), 3)))
        with simulate.session():
            assert process() == first
        assert model.solve(Z).observations[0, 0] == first
        assert os.path.exists(f"/proc/{first}")
        # A call that is lost takes its process with it, and the next has another.
        assert model.solve(np.array([[1.0, 8.0]])).failed.all()
        second = process()
        assert second != first
    for ended in (first, second):
        assert not os.path.exists(f"/proc/{ended}")


def test_a_session_goes_on_after_an_error() -> None:
    model = function("process")
    with model.session():
        first = model.solve(Z).observations[0, 0]
        with pytest.raises(SolverError, match="is expected: a row for each system"):
            model._answers(Z, lambda count: np.zeros(count, dtype=int), 4)
        assert model.solve(Z).observations[0, 0] != first


def test_no_rows_and_no_tangents() -> None:
    model = function("pair")
    y, changes = model.jvp(np.empty((0, 2)), np.empty((4, 0, 2)))
    assert (y.shape, changes.shape) == ((0, 3), (4, 0, 3))
    assert model.vjp(np.empty((0, 2)), np.empty((0, 3))).shape == (0, 2)
    y, changes = model.jvp(Z, np.empty((0, 5, 2)))
    assert (y.shape, changes.shape) == ((5, 3), (0, 5, 3))
    assert not model.check_derivatives(np.empty((0, 2)))


def test_without_derivatives_a_simulator_is_not_differentiable(url: str) -> None:
    program = section(kind="executable", command=["true", "{input}", "{output}"])
    plain = [
        function("solve", None),
        server(url, "good"),
        server(url, "both", derivatives=False),
        program.model(1),
    ]
    for model in plain:
        assert not isinstance(model, DifferentiableModel)
        assert not hasattr(model, "jvp")
        assert not hasattr(model, "vjp")


def test_positive_parameters_stay_positive() -> None:
    assert function("positive").check_derivatives(np.array([[0.01, 1.0], [1.0, 0.01]]))


def test_solves_that_are_not_exact_pass_the_check() -> None:
    assert function("coarse").check_derivatives(Z)


def test_where_nothing_can_be_solved_nothing_is_compared() -> None:
    assert not function("pair").check_derivatives(np.full((2, 2), 7.0))
    one = Z[:2].copy()
    one[0, 1] = 7.0
    with pytest.raises(SolverError, match=r"'b' is given as"):
        function("one_entry").check_derivatives(one)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("swapped", ["is given as", "but differences of solves give"]),
        (
            "one_entry",
            [
                "observation 2 (counted from 0) in 'b'",
                "Taylor's expansion falls by",
                "by 64",
                "a = ",
            ],
        ),
        ("transposed", ["Jacobian of shape (1, 2, 3)", "(1, 3, 2) is expected", "transposed"]),
        ("summed", ["Jacobian of shape (3, 2)", "(1, 3, 2) is expected"]),
        ("mixed", ["for one system alone than for the same system among"]),
        ("other_values", ["observations that come with them differ"]),
        ("seeded_swapped", ["is given as", "but differences of solves give"]),
        ("no_slope", ["they fail where the solve succeeds", "ArithmeticError: no slope"]),
        ("not_finite", ["they fail where the solve succeeds", "not finite"]),
        ("solve", ["returned a ndarray", "a pair is expected"]),
    ],
)
def test_a_wrong_jacobian_is_refused(name: str, parts: list[str]) -> None:
    own = function(name)
    with own.session(), refused(SolverError, *parts):
        own.check_derivatives(Z)


def test_what_is_given_and_what_is_expected_are_told_with_what_to_do() -> None:
    right = np.cos(Z[0, 1])
    told = f"is given as {0.9 * right:.4g}", f"differences of solves give {right:.3g}"
    advice = "Correct the Jacobian: its entry [i, j, k]", "leave 'forward.derivatives' out"
    with refused(SolverError, *told, *advice):
        function("one_entry").check_derivatives(Z[:1])


@pytest.mark.full
@parameters(
    "name, parts",
    [("cut_off", ["is given as 0,", "computed by torch"])],
    full=[
        ("cut", ["observation 2", "in 'b' is given as 0,", "without detach()"]),
        ("arrays", ["returned a ndarray", "a real tensor is expected"]),
    ],
)
def test_derivatives_that_torch_does_not_see_are_refused(name: str, parts: list[str]) -> None:
    own = function(name, "torch")
    with own.session():
        with refused(SolverError, *parts):
            own.check_derivatives(Z)
        if name == "cut_off":
            with pytest.raises(SolverError, match="a tensor without derivatives"):
                own.vjp(Z, np.ones((5, 3)))


def test_an_array_in_the_place_of_a_tensor_is_refused() -> None:
    with pytest.raises(NotNumbers, match=r"returned a ndarray, .* a real tensor is expected"):
        from_torch(lambda z: z.numpy(), Z, "values", None)


def test_a_server_whose_derivatives_err_is_refused(url: str) -> None:
    with pytest.raises(SolverError, match=r"observation 2 .* in 'b' is given as .*derivatives: f"):
        server(url, "bad_jacobian").check_derivatives(Z)
    with pytest.raises(SolverError, match=r"not of one Jacobian J: <c, J u> is .*Correct Gradient"):
        server(url, "bad_gradient").check_derivatives(Z)


def test_a_pair_without_a_word_is_refused_with_what_to_write() -> None:
    with pytest.raises(SolverError, match=r"not a table of numbers.*set 'derivatives: jacobian'"):
        function("pair", None).solve(Z)


def test_a_system_whose_derivatives_underflow_is_not_compared() -> None:
    """A curve near the end of its saturation, as broad first designs have it."""

    def solve(z: np.ndarray) -> Solutions:
        y = 1 / (1 + np.exp(-z))
        return Solutions(y, np.full(len(z), ""))

    def slope(z: np.ndarray) -> np.ndarray:
        return np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2

    def changes(z: np.ndarray, tangents: np.ndarray) -> Solutions:
        y = solve(z).observations
        # In another order, as reverse and forward derivatives are, the last digits are lost.
        lost = np.where(np.abs(z) > 100, -3.0, 1.0)
        return Solutions(np.hstack([y, lost * slope(z) * tangents[0]]), np.full(len(z), ""))

    def gradients(z: np.ndarray, cotangents: np.ndarray, factor: float = 1.0) -> Solutions:
        return Solutions(factor * slope(z) * cotangents, np.full(len(z), ""))

    z = np.array([[-0.5], [-240.0]])
    assert derivative_fault(solve, changes, gradients, z, ["a"]) == ""
    wrong = partial(gradients, factor=1.1)
    assert "not of one Jacobian" in derivative_fault(solve, changes, wrong, z, ["a"])


@pytest.mark.parametrize(("power", "place"), [(20, 0.386), (40, 0.324), (40, 0.376)])
def test_a_steep_curve_has_right_derivatives(power, place):
    """Central differences of the two longer steps err alike there."""

    def curve(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + (z / 0.35) ** power)

    def slope(z: np.ndarray) -> np.ndarray:
        return -power / z * curve(z) * (1 - curve(z))

    def solve(z: np.ndarray) -> Solutions:
        return Solutions(curve(z), np.full(len(z), ""))

    def changes(z: np.ndarray, tangents: np.ndarray, factor: float) -> Solutions:
        moved = factor * slope(z) * tangents[0]
        return Solutions(np.concatenate([curve(z), moved], axis=1), np.full(len(z), ""))

    def gradients(z: np.ndarray, cotangents: np.ndarray, factor: float) -> Solutions:
        return Solutions(factor * slope(z) * cotangents, np.full(len(z), ""))

    def fault(factor: float) -> str:
        both = (partial(each, factor=factor) for each in (changes, gradients))
        return derivative_fault(solve, *both, np.array([[place], [1.7]]), ["K"])

    assert fault(1.0) == ""
    assert "differences of solves" in fault(0.5)
