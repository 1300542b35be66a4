"""A real Slurm on this machine alone: one node, no accounting, no cgroups.

The daemons are Debian's, run from a folder of the test. Only slurm.conf has to lie in /etc/slurm:
Snakemake's job step clears the variables of Slurm from its environment, SLURM_CONF among them,
and the inner srun then looks there.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")
MARK = "# Written by the tests of popinv, which remove it again."
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun", "munged")
PARTITION = "test"
LOCK = Path("/run/lock/popinv-slurm-test.lock")
# More than the machine has: the tasks of an array that wait for the first one hold their places,
# and its repetition needs one too.
CPUS, MEMORY_MB = 16, 64000

# What a test cluster needs to differ from a real one: everything runs as root, nothing is tracked
# through cgroups, and jobs start and end at once. A job above its memory is killed within seconds.
TEMPLATE = """{mark}
ClusterName=popinv-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName={partition} Nodes={host} Default=NO MaxTime=INFINITE State=UP
"""


def reason_to_skip() -> str | None:
    """Return why there can be no cluster here, None if there can."""
    if os.geteuid() != 0:
        return "starting Slurm's daemons needs root"
    if CONF.exists() and MARK not in CONF.read_text():
        return f"{CONF} belongs to another Slurm"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing and shutil.which("apt-get") is None:
        return f"not installed, and no apt-get to install it with: {', '.join(missing)}"
    return None


def install() -> None:
    """Install Debian's packages where a program is missing.

    Here and not in the set-up, as nothing but these tests needs Slurm's daemons.

    Raises
    ------
    RuntimeError
        If that fails, as without a network.
    """
    if all(shutil.which(program) for program in PROGRAMS):
        return
    # At run level 1 Debian starts no service upon its installation.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
    # The package lists may be missing or out of date: fetch them only then.
    for attempt in (command, ["apt-get", "update", "--quiet"], command):
        done = subprocess.run(attempt, env=environment, capture_output=True, text=True)
        if attempt is command and done.returncode == 0:
            return
    raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for bound in sockets:
        bound.bind(("127.0.0.1", 0))
    ports = [bound.getsockname()[1] for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports


def _end_with_parent() -> None:
    # Tests that are killed leave no daemons behind: PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass
class Cluster:
    """The daemons in a folder of their own, from ``start`` to ``stop``."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Write the configuration, and start the daemons; return once the node is idle."""
        host = socket.gethostname().split(".")[0]
        controller_port, node_port = free_ports(2)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        CONF.parent.mkdir(exist_ok=True)
        CONF.write_text(
            TEMPLATE.format(
                mark=MARK,
                host=host,
                folder=self.folder,
                controller_port=controller_port,
                node_port=node_port,
                cpus=CPUS,
                memory=MEMORY_MB,
                partition=PARTITION,
            )
        )
        # An instance of its own beside the machine's, if that has one.
        self._daemon(
            "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket",
            f"--key-file={key}", f"--pid-file={self.folder}/munged.pid",
            f"--seed-file={self.folder}/munge.seed", f"--log-file={self.folder}/munged.log",
        )  # fmt: skip
        self._until(lambda: (self.folder / "munge.socket").exists(), "munged has no socket")
        self._daemon("slurmctld", "-D", "-i", "-c")
        self._daemon("slurmd", "-D", "-c")
        self._until(lambda: self._state() == "idle", "the node is not idle")

    def stop(self) -> None:
        """End all jobs and daemons, and remove the configuration."""
        try:
            if (self.folder / "slurmctld.pid").exists():
                subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], timeout=20)
                subprocess.run(["scancel", "--user=root"], timeout=20)
                self._until(lambda: not self.query("squeue", "--noheader"), "jobs go on", 20)
        finally:
            for daemon in reversed(self.daemons):
                daemon.terminate()
            for daemon in reversed(self.daemons):
                try:
                    daemon.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
            if CONF.exists() and MARK in CONF.read_text():
                CONF.unlink()

    def query(self, *command: str) -> str:
        """Return what a command of Slurm prints, empty if it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""

    def jobs(self, state: str) -> dict[str, str]:
        """Return the comments of the jobs in a state by their ids."""
        lines = self.query("squeue", "--noheader", f"--states={state}", "--format=%i|%k")
        return dict(line.split("|", 1) for line in lines.splitlines())

    def logs(self) -> str:
        """Return the ends of the daemons' logs, for a failed test."""
        ends = []
        for log in sorted(self.folder.glob("*.log")):
            ends.append(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-30:]))
        return "\n".join(ends)

    def _state(self) -> str:
        answer = self.query("sinfo", "--noheader", "--format=%T")
        return re.sub(r"\W", "", answer)

    def _daemon(self, *command: str) -> None:
        output = (self.folder / f"{command[0]}.out").open("wb")
        self.daemons.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_end_with_parent,
            )
        )

    def _until(self, condition, complaint: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{complaint} after {seconds:g} s\n{self.logs()}")
            time.sleep(0.1)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster, and leave nothing of it behind; one at a time on a machine."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A short path: that of a socket may have 108 characters.
        with tempfile.TemporaryDirectory(prefix="popinv-slurm-") as folder:
            cluster = Cluster(Path(folder))
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.stop()
