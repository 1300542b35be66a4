"""A function of one's own: good rows are kept whatever happens to the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from compileall import compile_file
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import refused, section
from test_external_executable import wait_until_gone
from tiers import parameters, patient

from popinv.errors import DataError, SolverError
from popinv.forward.base import Solutions
from popinv.forward.checks import check_solutions, finished
from popinv.forward.python.derivatives import NotNumbers, table
from popinv.forward.python.one_system import over_systems
from popinv.forward.python.worker import loaded

# b chooses what happens to a row; 0 is a good one.
MODULE = """
    import os, signal, sys, time
    import numpy as np

    def solve(z):
        for b in z[:, 1]:
            if b == 1:
                raise ValueError("no root")
            if b == 2:
                os._exit(3)
            if b == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            if b == 4:
                time.sleep(60)
            if b == 5:
                sys.exit("enough")
        y = np.stack([z[:, 0], z[:, 0] ** 2, np.sin(z[:, 0])], axis=1)
        y[z[:, 1] == 6, 1] = np.nan
        return y

    def transposed(z):
        return solve(z).T

    def flat(z):
        return z[:, 0]

    def words(z):
        return [["a", "b", "c"] for _ in z]

    def complex_numbers(z):
        return solve(z) + 1j

    def ragged(z):
        return [[1.0], [1.0, 2.0]]

    def centred(z):
        return solve(z) - solve(z).mean(axis=0)

    def unseeded(z):
        return np.random.standard_normal((len(z), 3))

    def seeded(z, seeds):
        draws = [np.random.default_rng(seed).standard_normal(3) for seed in seeds]
        return z[:, :1] + np.array(draws)

    def by_order_of_a_set(z):
        first = float("abcdefghij".index(next(iter(set("abcdefghij")))))
        return solve(z) + first

    def talking(z):
        print("hello from the simulator")
        os.write(1, b"and from below\\n")
        return solve(z)

    def flaky(z):
        if len(z) == 1 and not os.path.exists("tried"):
            open("tried", "w").close()
            raise RuntimeError("licence server busy")
        return solve(z)

    def whoami(z):
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        return solve(z)

    def stopped(z):
        os.kill(os.getpid(), signal.SIGSTOP)

    def texts(z):
        return np.full((len(z), 3), "1", dtype=object)

    def endless(z):
        return np.broadcast_to(1.0, (2**20, 2**20))

    def sleepy(z):
        whoami(z)
        time.sleep(60)

    def forked(z):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        else:
            open("child", "w").write(str(os.getpid()))
            if z[0, 1] == 8:
                raise SystemExit("the child leaves")
        return solve(z)

    def forked_first(z):
        if os.fork():
            time.sleep(0.3)
        return solve(z)

    def masked(z):
        y = solve(z)
        return np.ma.array(y, mask=(z[:, 1:] == 9) & (np.arange(3) == 1))
"""
GOOD = np.column_stack([np.linspace(-1.0, 2.0, 11), np.zeros(11)])


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("own").mkdir()
    Path("own/simulator.py").write_text(textwrap.dedent(MODULE))


def model(function: str = "solve", seed: int = 1, **keys: Any):
    keys = {"path": "own", "time_limit": 20, **keys}
    forward = section(kind="python", function=f"simulator:{function}", **keys)
    return forward.model(seed)


def expected(z: np.ndarray) -> np.ndarray:
    return np.stack([z[:, 0], z[:, 0] ** 2, np.sin(z[:, 0])], axis=1)


def test_a_batch_goes_in_and_a_batch_comes_out() -> None:
    solutions = model().solve(GOOD)
    assert not solutions.failed.any()
    np.testing.assert_allclose(solutions.observations, expected(GOOD), rtol=1e-15)


@parameters("keys", [{"rows_per_call": 4, "parallel": 3}], full=[{"rows_per_call": 1}])
def test_rows_do_not_depend_on_how_they_are_called(keys: dict[str, int]) -> None:
    z = GOOD.copy()
    z[[2, 7], 1] = 1, 6
    whole, parts = model().solve(z), model(**keys).solve(z)
    # sin of a vector may differ in the last digit from sin of a number.
    np.testing.assert_allclose(parts.observations, whole.observations, rtol=1e-14)
    np.testing.assert_array_equal(parts.reason, whole.reason)


def test_bad_rows_are_isolated_with_their_reasons() -> None:
    z = GOOD.copy()
    kinds = {1: 1, 3: 2, 4: 3, 8: 5, 9: 6}
    for row, kind in kinds.items():
        z[row, 1] = kind
    solutions = model().solve(z)
    good = np.array([i not in kinds for i in range(len(z))])
    np.testing.assert_array_equal(solutions.failed, ~good)
    assert np.isnan(solutions.observations[~good]).all()
    np.testing.assert_allclose(solutions.observations[good], expected(z[good]), rtol=1e-15)
    assert solutions.reason[1] == "ValueError: no root (simulator.py, line 8)"
    assert solutions.reason[3] == "the process ended with exit status 3"
    assert solutions.reason[4] == "the process died (signal 9, SIGKILL)"
    assert solutions.reason[8].startswith("SystemExit: enough")
    assert solutions.reason[9] == "the simulator returned a value that is not finite"


def test_a_row_without_end_is_stopped() -> None:
    z = GOOD[:3].copy()
    z[1, 1] = 4
    solutions = model(time_limit=1).solve(z)
    assert list(solutions.reason) == ["", "time limit of a solve: 1 s", ""]
    np.testing.assert_allclose(solutions.observations[[0, 2]], expected(z[[0, 2]]), rtol=1e-15)


def test_parameters_that_are_not_finite_are_not_passed_on() -> None:
    z = GOOD[:3].copy()
    z[1, 0] = np.inf
    solutions = model().solve(z)
    assert list(solutions.reason) == ["", "parameter 'a' is inf", ""]


def test_a_failed_row_is_tried_again() -> None:
    assert not model("flaky", retries=1).solve(GOOD[:1]).failed.any()
    Path("tried").unlink()
    assert "licence server busy" in model("flaky").solve(GOOD[:1]).reason[0]


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("transposed", ["shape (3, 1)", "(1, 3) is expected", "transposed"]),
        ("flat", ["shape (1,)", "(1, 3) is expected", "a row for each system"]),
        ("words", ["not a table of numbers", "<U1"]),
        ("complex_numbers", ["not a table of numbers", "complex128"]),
        ("texts", ["not a table of numbers", "some of its entries are text"]),
        ("endless", ["not a table of numbers", "too large for one call"]),
        ("ragged", ["not a table of numbers"]),
        ("centred", ["for one system alone than for the same system among 11"]),
        ("unseeded", ["draws random numbers", "seed"]),
    ],
)
def test_a_function_that_breaks_the_contract_is_refused(function: str, parts: list[str]) -> None:
    with refused(SolverError, *parts):
        model(function).solve(GOOD)


def test_an_import_that_fails_is_told() -> None:
    Path("own/simulator.py").write_text("import no_such_package\n")
    with pytest.raises(SolverError, match=r"simulator:solve.*no_such_package.*line 1"):
        model().solve(GOOD)


def test_a_table_of_another_width_is_refused() -> None:
    with pytest.raises(DataError, match=r"python: z has shape \(n, 2\), not \(5, 3\)"):
        model().solve(np.zeros((5, 3)))


@pytest.mark.full
def test_seeds_belong_to_the_rows() -> None:
    whole = model("seeded", rows_per_call=4).solve(GOOD, "solve/0", 100)
    part = model("seeded").solve(GOOD[6:], "solve/0", 106)
    np.testing.assert_array_equal(part.observations, whole.observations[6:])
    for other in (
        model("seeded", seed=2).solve(GOOD, "solve/0", 100),
        model("seeded").solve(GOOD, "solve/1", 100),
        model("seeded").solve(GOOD, "solve/0", 101),
    ):
        assert np.all(other.observations != whole.observations)


def test_sets_have_one_order_in_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten letters another one is the first in most processes."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    answers = [model("by_order_of_a_set").solve(GOOD[:1]).observations for _ in range(4)]
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])


def test_what_it_prints_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    assert not model("talking").solve(GOOD).failed.any()
    printed = capfd.readouterr().out
    assert "simulator: hello from the simulator" in printed
    assert "simulator: and from below" in printed


def test_no_process_stays_behind() -> None:
    model("whoami", parallel=2, rows_per_call=3).solve(GOOD)
    pids = {int(pid) for pid in Path("pids").read_text().split()}
    assert pids
    assert os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_simulator_that_never_answers_is_given_up() -> None:
    with pytest.raises(
        SolverError, match=r"cannot be used.*10 systems.*time limit of a solve: 0\.2 s"
    ):
        model("sleepy", time_limit=0.2, rows_per_call=1).solve(np.tile(GOOD, (20, 1)))
    # Ten systems, the first of them once more or less, and not all 220.
    assert 10 <= len(Path("pids").read_text().split()) <= 11


def test_a_process_that_has_stopped_is_ended_at_the_time_limit() -> None:
    # It holds its connection open, and does not react to anything but the end.
    assert set(model("stopped", time_limit=0.5).solve(GOOD[:1]).reason) == {
        "time limit of a solve: 0.5 s"
    }


def test_the_process_ends_when_the_job_is_killed(tmp_path: Path) -> None:
    code = """
        import numpy as np
        from popinv.forward.python.model import WorkerProcess
        worker = WorkerProcess("simulator:sleepy", "own", "", True)
        worker.call(np.zeros((1, 2)), np.ones(1, int), 600.0)
    """
    job = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    deadline = time.monotonic() + patient(60)
    while not Path("pids").exists() or not Path("pids").read_text().endswith("\n"):
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.05)
    pid = int(Path("pids").read_text())
    job.send_signal(signal.SIGKILL)
    job.wait()
    wait_until_gone(pid)


@pytest.mark.parametrize("b", [0.0, 8.0])
def test_a_forked_process_that_returns_is_ended_and_told(
    b: float, capfd: pytest.CaptureFixture[str]
) -> None:
    z = GOOD.copy()
    z[:, 1] = b
    own = model("forked", rows_per_call=4)
    with own.session():
        # One process answers all calls.
        for _ in range(2):
            solutions = own.solve(z)
            assert not solutions.failed.any(), solutions.reason
            np.testing.assert_allclose(solutions.observations, expected(z), rtol=1e-14)
            with pytest.raises(ProcessLookupError):
                os.kill(int(Path("child").read_text()), 0)
    told = "simulator: the simulator has called os.fork(), and the new process returned"
    assert told in capfd.readouterr().out


def test_the_answer_is_that_of_the_first_process_and_not_of_one_that_it_forked() -> None:
    solutions = model("forked_first").solve(GOOD)
    np.testing.assert_allclose(solutions.observations, expected(GOOD), rtol=1e-14)


def test_a_module_that_forks_has_one_process_that_answers(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = Path("own/simulator.py").read_text()
    Path("own/simulator.py").write_text(code + "\nif os.fork():\n    os.wait()\n")
    solutions = model().solve(GOOD)
    np.testing.assert_allclose(solutions.observations, expected(GOOD), rtol=1e-14)
    assert "has called os.fork()" in capfd.readouterr().out


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_masked_entry_is_a_failed_solve(size: int) -> None:
    z = GOOD.copy()
    z[[0, 5, 8], 1] = 9
    solutions = model("masked", rows_per_call=size).solve(z)
    good = z[:, 1] == 0
    np.testing.assert_array_equal(solutions.failed, ~good)
    assert np.isnan(solutions.observations[~good]).all()
    assert set(solutions.reason[~good]) == {"the simulator returned a value that is not finite"}
    np.testing.assert_allclose(solutions.observations[good], expected(z[good]), rtol=1e-14)


def test_masks_are_read_wherever_they_are() -> None:
    """Random tables in random containers: what is masked is NaN, and the rest as it was."""
    rng = np.random.default_rng(0)
    for case in range(300):
        n, d = rng.integers(1, 6, 2)
        dtype = [float, np.float32, int, bool, object][rng.integers(5)]
        y = rng.integers(0, 9, (n, d)).astype(dtype)
        mask = rng.random((n, d)) < rng.choice([0.0, 0.3, 1.0])
        whole = np.ma.array(y, mask=mask)
        rows = [whole[i] for i in range(n)]
        entries = [[row[j] for j in range(d)] for row in rows]
        given = [whole, rows, tuple(rows), entries, [list(row) for row in rows]]
        for kind, result in enumerate(given):
            wanted = np.where(mask, np.nan, y.astype(float))
            np.testing.assert_array_equal(table(result), wanted, err_msg=f"{case} {kind} {dtype}")
        for i in range(n):
            one = over_systems(lambda z, rows=rows: rows[int(z[0])])(np.array([[i]]))
            np.testing.assert_array_equal(table(one)[0], wanted[i])


def test_masked_text_and_complex_numbers_are_refused() -> None:
    for values in (["a", "b"], [1j, 2.0]):
        with pytest.raises(NotNumbers, match="not a table of numbers"):
            table(np.ma.array([values], mask=[[True, False]]))


def test_masked_entries_of_a_forward_model_of_ones_own_are_no_numbers() -> None:
    y = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    reasons = np.full(2, "", dtype=object)
    with pytest.raises(SolverError, match="returned masked entries"):
        check_solutions(Solutions(y, reasons), 2, 2)
    solutions = finished(y, reasons)
    check_solutions(solutions, 2, 2)
    np.testing.assert_array_equal(solutions.observations, [[np.nan, np.nan], [3.0, 4.0]])
    assert list(solutions.reason) == ["the solution is not finite", ""]


def test_no_rows() -> None:
    assert model().solve(np.empty((0, 2))).observations.shape == (0, 3)


def test_functions_of_two_folders_have_modules_of_the_same_names(tmp_path: Path) -> None:
    for folder, factor in (("first", 2), ("second", 3)):
        own = tmp_path / folder
        own.mkdir()
        (own / "model.py").write_text(
            "from rule import FACTOR\n\n\ndef solve(z):\n    return FACTOR * z\n"
        )
        (own / "rule.py").write_text(f"FACTOR = {factor}\n")
    first = loaded("model:solve", str(tmp_path / "first"))
    second = loaded("model:solve", str(tmp_path / "second"))
    assert (first(1), second(1)) == (2, 3)
    assert loaded("model:solve", str(tmp_path / "second")) is second
    (tmp_path / "second" / "rule.py").write_text("FACTOR = 50\n")
    assert loaded("model:solve", str(tmp_path / "second"))(1) == 50
    assert second(1) == 3


def test_a_function_edited_within_a_second_is_not_taken_from_kept_bytecode(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    module, part = tmp_path / "edited.py", tmp_path / "parts/factor.py"
    module.write_text("from parts.factor import FACTOR\ndef solve(z):\n    return FACTOR * z\n")
    found = []
    for factor in (2, 3):
        part.write_text(f"FACTOR = {factor}\n")
        os.utime(part, ns=(10**18 + factor, 10**18 + factor))
        # As by a program of the user's that imports it.
        compile_file(part, quiet=1, force=factor == 2)
        found.append(loaded("edited:solve", str(tmp_path))(1.0))
    assert found == [2.0, 3.0]
