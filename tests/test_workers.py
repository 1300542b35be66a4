"""Loops that processes share: the same results in the same order, and an end in every case."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import ranks_share
from ranks_share import estimates, squares
from tiers import parameters, patient

from popinv import workers
from popinv.errors import DivergenceError
from popinv.workers import (
    LENT_CORES,
    Cores,
    Tally,
    WorkerError,
    alone,
    blocks_of,
    number_of_processes,
    parallel,
    processes,
)

COUNTS = [1, 2, 3, 5]


@pytest.fixture(autouse=True)
def short_loops_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share loops whose turns take no time, too."""
    monkeypatch.setattr(workers, "_LEAST_SECONDS", 0.0)
    monkeypatch.delenv(LENT_CORES, raising=False)


@pytest.mark.parametrize("count", COUNTS)
def test_results_come_in_the_order_of_the_turns(count: int) -> None:
    def turn(number: int) -> tuple[int, int]:
        # Later turns end first.
        time.sleep(0.02 * (7 - number))
        return number**2, os.getpid()

    with processes(count):
        found = list(parallel(turn, range(7), "squares"))
    assert [square for square, _ in found] == [number**2 for number in range(7)]
    others = {process for _, process in found} - {os.getpid()}
    # This process takes turns, too.
    assert len(others) == count - 1


def test_a_turn_sees_the_data_of_its_caller_and_does_not_change_them() -> None:
    data = np.arange(4.0)

    def turn(block: np.ndarray) -> float:
        data[block] += 1
        return float(data[block].sum())

    with processes(2):
        # The first turn of a new loop runs in the caller.
        list(parallel(lambda number: number, range(3), "seen"))
        assert list(parallel(turn, blocks_of(4, 2), "seen")) == [3.0, 7.0]
        assert list(parallel(turn, blocks_of(4, 2), "seen")) == [3.0, 7.0]
    assert data.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_loop_within_a_turn_is_not_shared_again() -> None:
    def turn(number: int) -> list[int]:
        return [number_of_processes(), *parallel(lambda k: os.getpid(), range(3), "inner")]

    with processes(2):
        for count, *inner in list(parallel(turn, range(4), "outer"))[1:]:
            assert count == 1
            assert len(set(inner)) == 1


def test_loops_run_here_while_a_simulator_of_the_user_answers() -> None:
    with processes(2), alone():
        assert set(parallel(lambda _: os.getpid(), range(4), "alone")) == {os.getpid()}


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_counted_in_turns_is_counted_here(count: int) -> None:
    tally = Tally()

    def turn(number: int) -> None:
        Tally().add(100)
        tally.add(number)

    with processes(count):
        list(parallel(turn, range(6), "counted"))
    assert tally.value == 15


def test_an_error_of_a_turn_is_the_caller_s_and_no_process_is_left() -> None:
    def turn(number: int) -> int:
        if number == 3:
            raise DivergenceError("of turn 3")
        return os.getpid()

    found: list[int] = []
    with processes(2), pytest.raises(DivergenceError, match="of turn 3"):
        found.extend(parallel(turn, range(5), "failing"))
    assert len(found) == 3
    assert not any(_lives(process) for process in set(found) - {os.getpid()})


def test_an_error_of_a_turn_that_this_process_takes_is_told_in_its_order() -> None:
    here = os.getpid()

    def turn(number: int) -> int:
        if os.getpid() != here:
            time.sleep(0.3)
        elif number:
            raise DivergenceError(f"of turn {number}, here")
        return number

    found: list[int] = []
    with processes(2), pytest.raises(DivergenceError, match="of turn 3, here"):
        found.extend(parallel(turn, range(6), "failing here"))
    assert found == [0, 1, 2]


def test_a_killed_process_ends_the_loop_with_its_name() -> None:
    def turn(number: int) -> int:
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with processes(2), pytest.raises(WorkerError, match="integrals of a test: one of 2 processes"):
        list(parallel(turn, range(6), "integrals of a test"))


def test_processes_end_with_a_loop_that_is_left() -> None:
    def turn(number: int) -> int:
        time.sleep(0 if number < 2 or os.getpid() == here else 60)
        return os.getpid()

    here, began = os.getpid(), time.monotonic()
    with processes(2):
        loop = parallel(turn, range(6), "left")
        next(loop)
        worker = next(loop)
        loop.close()
    assert time.monotonic() - began < patient(30)
    assert not _lives(worker)


@pytest.mark.parametrize(
    ("how", "idle"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGKILL, False)]
)
def test_processes_end_with_their_parent(how: signal.Signals, idle: bool, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, signal, time
            from popinv import workers
            from popinv.workers import parallel, processes

            # A shell that starts the tests in the background lets them ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            workers._LEAST_SECONDS = 0

            here, idle = os.getpid(), IDLE

            def turn(number):
                os.write(1, b"%d \\n" % os.getpid())
                time.sleep(60 if number and (os.getpid() == here or not idle) else 0)

            with processes(2):
                list(parallel(turn, range(4), "sleeping"))
            """
        ).replace("IDLE", str(idle))
    )
    running = subprocess.Popen(
        [sys.executable, program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    # The process of the loop takes the first turn and the last one, and a fork the two between.
    found = [int(running.stdout.readline()) for _ in range(4 if idle else 3)]
    time.sleep(0.5)
    # Ctrl+C reaches all processes of a terminal. The one that started the others tells of it.
    (os.killpg if how == signal.SIGINT else os.kill)(running.pid, how)
    assert running.wait(timeout=patient(30)) != 0
    assert "ForkProcess" not in running.stderr.read()
    deadline = time.monotonic() + patient(10)
    forks = set(found) - {running.pid}
    assert len(forks) == 1
    while any(map(_lives, forks)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_lives, forks))


def test_a_short_loop_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LEAST_SECONDS", 60.0)
    with processes(2):
        for _ in range(2):
            found = set(parallel(lambda _: os.getpid(), range(5), "short"))
            assert found == {os.getpid()}


def test_at_least_one_process_is_asked_for() -> None:
    with pytest.raises(ValueError, match="0 processes"), processes(0):
        pass


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.firedrake
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed")
@parameters("count, what", [(2, squares)], full=[(3, squares), (2, estimates), (3, estimates)])
def test_ranks_find_what_one_process_finds(
    count: int, what: Callable[[], np.ndarray], tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "mpi4py", ranks_share.__file__, tmp_path, what.__name__]
    command = ["mpiexec", "--bind-to", "none", "-n", str(count), *program]
    environment = {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        # As many processes as there are, on however many cores, of which those that wait take none.
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }
    subprocess.run(command, check=True, env=environment, timeout=patient(300))
    one = what()
    for rank in range(count):
        found = np.load(tmp_path / f"{rank}.npz")
        assert np.array_equal(found["found"], one)
        assert found["places"].tolist() == [number % count for number in range(9)]
        # The turn that fails is the second of its loop.
        assert str(found["told"]) == "of rank 1"
        assert int(found["tally"]) == sum(range(9))


@pytest.fixture
def lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cores:
    """Lend three cores, as a run of Snakemake does."""
    monkeypatch.setenv(LENT_CORES, f"{tmp_path}:3")
    return Cores.lent()


def test_a_loop_takes_the_cores_on_which_no_job_runs(lent: Cores) -> None:
    def others() -> int:
        found = set(parallel(lambda _: time.sleep(0.05) or os.getpid(), range(9), "lent"))
        return len(found - {os.getpid()})

    others()  # The first turn of a new loop runs here.
    with lent.taken(1) as own:
        assert own == 1
        # On the two cores that are free.
        assert others() == 2
        with Cores.lent().taken(2) as of_another_job:
            assert of_another_job == 2
            assert others() == 0
        assert others() == 2


def test_free_cores_are_not_taken_while_a_simulator_of_the_user_answers(lent: Cores) -> None:
    with alone():
        for _ in range(2):
            assert set(parallel(lambda _: os.getpid(), range(4), "lent, alone")) == {os.getpid()}


def test_cores_are_free_again_when_their_holder_dies(lent: Cores, tmp_path: Path) -> None:
    program = f"from popinv.workers import Cores; import time\nwith Cores({str(tmp_path)!r}, 3)"
    program += ".taken(2) as n:\n    print(n, flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "2\n"
    with lent.taken(3) as left:
        assert left == 1
    holder.kill()
    holder.wait()
    with lent.taken(3) as left:
        assert left == 3


def test_a_run_whose_cores_are_not_on_this_machine_lends_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LENT_CORES, f"{tmp_path / 'elsewhere'}:3")
    with Cores.lent().taken(3) as found:
        assert found == 0


def test_all_turns_of_a_long_loop_are_shared_at_once() -> None:
    def turn(number: int) -> int:
        time.sleep(0.1)
        return os.getpid()

    with processes(2):
        first, *others = parallel(turn, range(4), "long", long=True)
    assert first != os.getpid()
    assert os.getpid() in others
