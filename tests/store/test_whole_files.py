"""Files are whole or not there, whenever their writer is killed, and leftovers go."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from popinv.errors import DataError
from popinv.store.whole_files import write_text, written_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path):
    write_text(tmp_path / "a" / "metrics.json", "old")
    with written_whole(tmp_path / "a" / "metrics.json") as partial:
        partial.write_text("ne")
        assert (tmp_path / "a" / "metrics.json").read_text() == "old"
        partial.write_text("new")
    assert (tmp_path / "a" / "metrics.json").read_text() == "new"
    assert names(tmp_path / "a") == ["metrics.json"]


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "a.json") as partial:
        print(partial.write_text("new") // 0)
    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room on that disk"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "file system writable"),
        (errno.EACCES, "permission to write"),
    ],
)
def test_what_cannot_be_written_is_said_with_path_reason_and_advice(tmp_path, number, advice):
    with pytest.raises(DataError) as caught, written_whole(tmp_path / "a.json"):
        raise OSError(number, os.strerror(number))
    for part in (f"{tmp_path}/a.json: cannot be written", os.strerror(number), advice):
        assert part in str(caught.value)


def test_leftovers_of_dead_writers_go_and_those_of_living_ones_stay(tmp_path):
    host = os.uname().nodename
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    other = f".a.json.{host}.1.partial"  # a process that is always there
    elsewhere, old = ".a.json.another-host.7.partial", ".a.json.another-host.8.partial"
    not_ours = f".b.json.{host}.{gone.pid}.partial"
    for name in (other, elsewhere, old, not_ours, f".a.json.{host}.{gone.pid}.partial"):
        (tmp_path / name).touch()
    os.utime(tmp_path / old, (0, 0))
    write_text(tmp_path / "a.json", "")
    assert names(tmp_path) == sorted(["a.json", other, elsewhere, not_ours])


# Kills the writer of a store at its k-th file operation, for every k, in one child after another.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np, xarray as xr
    from popinv.store import storage
    from popinv.store.variables import variable
    from popinv.errors import DataError
    from popinv.store.whole_files import write_text

    folder = Path(sys.argv[1])
    store, file = folder / "x.zarr", folder / "x.json"
    operations = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}

    def save(value):
        y = variable(("row", "column"), np.full((5, 2), value), "values")
        storage.save(xr.Dataset({"y": y}), store, config={}, seed=1, created_by="test")
        write_text(file, str(value) * 1000)

    def killed_at(number):
        pid = os.fork()
        if pid == 0:
            count = 0
            def hook(event, arguments):
                nonlocal count
                if event in operations and str(folder) in str(arguments[0]):
                    count += 1
                    if count == number:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)
            save(2.0)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    save(1.0)
    states, number = [], 1
    while killed_at(number):
        try:
            states.append(int(storage.load(store)["y"].values[0, 0]))
        except DataError as error:
            assert "there is no zarr store here" in str(error), error
            states.append(0)
        assert file.read_text() in ("1.0" * 1000, "2.0" * 1000)
        save(1.0)
        left = sorted(path.name for path in folder.iterdir())
        assert left == ["x.json", "x.zarr"], left
        number += 1
    assert storage.load(store)["y"].values[0, 0] == 2.0
    print("".join(map(str, states)))
"""


def test_a_writer_killed_at_any_file_operation_leaves_all_or_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    states = done.stdout.strip()
    assert len(states) > 6
    # The old store, then the new one, and at no moment none.
    assert set(states) == {"1", "2"}
    assert states == "".join(sorted(states))
    assert states[0] == "1"
    assert states[-1] == "2"
