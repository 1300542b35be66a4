"""Scripts of a run as forks of a process that has imported what they need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import preloaded
import psutil
import pytest
from tiers import patient

from popinv.workflow.preloaded import PRELOADED, SCRIPT, script_of

# The first job lasts until the process that forks has imported its modules, which are few.
SNAKEFILE = """
from popinv.workflow import preloaded

preloaded._LIBRARIES = ()

onstart:
    preloaded.fork_scripts(["colorsys", "no.such.module"])

rule first:
    output: "first.txt"
    script: "first.py"

rule second:
    input: "first.txt"
    output: "{end}.json"
    benchmark: "{end}.tsv"
    threads: 2
    script: "second.py"
"""
FIRST = """
import os, psutil, time
until = time.monotonic() + 90

def there():
    # Other runs on this machine have sockets of their own.
    above = {each.pid for each in psutil.Process().parents()}
    return any(
        each.info["ppid"] in above
        and "popinv.workflow.preloaded" in (command := each.info["cmdline"] or [])
        and os.path.exists(command[command.index("popinv.workflow.preloaded") + 1])
        for each in psutil.process_iter(["ppid", "cmdline"])
    )

while os.environ["POPINV_PRELOADED"] == "" and not there() and time.monotonic() < until:
    time.sleep(0.1)
open(snakemake.output[0], "w").close()
"""
SECOND = """
import json, os, signal, sys, time
print("told on", "the terminal")
end = snakemake.wildcards.end
found = {
    "argv": sys.argv[0], "name": __name__, "folder": os.getcwd(), "pid": os.getpid(),
    "comm": open("/proc/self/comm").read().strip(), "imported": "colorsys" in sys.modules,
    "threads": os.environ["OMP_NUM_THREADS"], "parent": os.getppid(),
}
if end == "exit":
    sys.exit("a message")
if end == "raise":
    raise ValueError("a mistake")
if end == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
with open(snakemake.output[0], "w") as file:
    json.dump(found, file)
if end == "slow":
    time.sleep(600)
"""
# Snakemake in a process that the tests have forked, as if it had been started in its own group.
RUN = """
import json, os, sys
os.setsid()
open("group", "w").write(str(os.getpid()))
os.environ.update(json.loads(sys.argv.pop(1)))

from snakemake.cli import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "first.py").write_text(FIRST)
    (tmp_path / "second.py").write_text(SECOND)
    (tmp_path / "run.py").write_text(RUN)
    return tmp_path


def ran(folder: Path, *ends: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake, whose first job waits for the process that forks, if there is to be one."""
    # The name of a socket is short.
    environment = {"TMPDIR": tempfile.mkdtemp(), PRELOADED: "", **environment}
    command = ["run.py", json.dumps(environment), "--cores", "2", "--keep-going"]
    targets = [f"{end}.json" for end in ends]
    return preloaded.run([*command, *targets], folder, {**os.environ}, together=True)


def written(folder: Path, end: str = "well") -> dict[str, object]:
    return dict(json.loads((folder / f"{end}.json").read_text()))


def test_a_script_is_forked_with_its_own_process_and_environment(folder):
    done = ran(folder, "well")
    assert done.returncode == 0, done.stdout
    found = written(folder)
    assert found["imported"]
    assert found["comm"] == SCRIPT
    assert found["name"] == "__main__"
    assert str(found["argv"]).endswith(".second.py")
    assert found["folder"] == str(folder)
    assert found["threads"] == "2"
    assert "told on the terminal" in done.stdout
    header, values = ((folder / "well.tsv").read_text().splitlines())[:2]
    assert float(dict(zip(header.split(), values.split(), strict=True))["s"]) < 60
    # The process that forks ends with Snakemake.
    assert gone(int(str(found["parent"])))


def test_a_long_name_of_the_temporary_folder_does_no_harm(folder, tmp_path):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    done = ran(folder, "well", TMPDIR=str(long))
    assert done.returncode == 0, done.stdout
    assert written(folder)["imported"]


def test_forks_can_be_turned_off(folder):
    done = ran(folder, "well", **{PRELOADED: "none"})
    assert done.returncode == 0, done.stdout
    assert not written(folder)["imported"]
    assert written(folder)["comm"] != SCRIPT


def test_a_script_that_fails_is_told_as_any_other(folder):
    told = {
        "exit": "a message",
        "raise": "ValueError: a mistake",
        "killed": "died with <Signals.SIGKILL: 9>",
    }
    done = ran(folder, *told)
    assert done.returncode == 1
    for end, message in told.items():
        assert message in done.stdout
        assert not (folder / f"{end}.json").exists()


def runs_slowly(folder: Path) -> int:
    """Return the process of the slow second job, once it runs."""
    until = time.monotonic() + patient(120)
    while time.monotonic() < until:
        try:
            return int(str(written(folder, "slow")["pid"]))
        except (OSError, ValueError):
            time.sleep(0.1)
    raise AssertionError("the second job does not run")


def gone(pid: int) -> bool:
    until = time.monotonic() + patient(30)
    while runs(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return not runs(pid)


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_scripts_end_with_snakemake(folder, number):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ran, folder, "slow")
        pid = runs_slowly(folder)
        # The terminal sends Ctrl+C to all processes; a kill may be that of Snakemake alone.
        send = os.killpg if number == signal.SIGINT else os.kill
        send(int((folder / "group").read_text()), number)
        running.result(timeout=patient(60))
    assert gone(pid)


def test_scripts_start_anew_where_nobody_forks(folder):
    done = ran(folder, "well", **{PRELOADED: str(folder / "nobody")})
    assert done.returncode == 0, done.stdout
    assert not written(folder)["imported"]


SCRIPT_FILE = "/study/.snakemake/scripts/tmp1.stage.py"


@pytest.mark.parametrize(
    ("before", "options", "forked"),
    [
        ("set -euo pipefail;  ", {}, True),
        (" ", {}, True),
        ("set -euo pipefail;  source activate other && ", {}, False),
        ("set -euo pipefail;  ", {"stdout": subprocess.PIPE}, False),
    ],
)
def test_only_a_script_alone_is_forked(before, options, forked):
    found = script_of(f"{before}{sys.executable} '{SCRIPT_FILE}'", env={}, **options)
    assert found == ([SCRIPT_FILE] if forked else [])


def test_other_commands_are_not_forked():
    assert script_of(f"set -euo pipefail;  {sys.executable} -m popinv --help") == []
    assert script_of(f"set -euo pipefail;  python {SCRIPT_FILE}") == []
