"""A real Slurm on this machine alone: one node, no accounting, no cgroups.

The daemons are Debian's. All their files lie in a folder of their own, which a guard removes, so
several clusters run at once, beside the machine's own Slurm if it has one.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guard import FOLDER, Guard, guarded_folder

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun", "munged")
# What asks the daemons, and has to find their configuration.
CLIENTS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
PARTITION = "test"
# More than the machine has: the tasks of an array that wait for the first one hold their places,
# and its repetition needs one too.
CPUS, MEMORY_MB = 16, 64000

# What a test cluster needs to differ from a real one: everything runs as root, nothing is tracked
# through cgroups, and jobs start and end at once. A job above its memory is killed within seconds.
TEMPLATE = """ClusterName=popinv-test
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
TmpFS={folder}/tmp
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


@dataclass
class Cluster:
    """The daemons in a folder of their own."""

    guard: Guard

    @property
    def folder(self) -> Path:
        """The folder of all files of the cluster."""
        return self.guard.folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands mean this cluster."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, FOLDER: str(self.folder)}

    def start(self) -> None:
        """Write the configuration, and start the daemons; return once the node is idle."""
        host = socket.gethostname().split(".")[0]
        controller_port, node_port = free_ports(2)
        for name in ("bin", "state", "spool", "tmp"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        configuration = self.folder / "slurm.conf"
        configuration.write_text(
            TEMPLATE.format(
                host=host,
                folder=self.folder,
                controller_port=controller_port,
                node_port=node_port,
                cpus=CPUS,
                memory=MEMORY_MB,
                partition=PARTITION,
            )
        )
        self._wrap_clients(configuration)
        self.guard.start(
            "munged",
            "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket",
            f"--key-file={key}", f"--pid-file={self.folder}/munged.pid",
            f"--seed-file={self.folder}/munge.seed", f"--log-file={self.folder}/munged.log",
        )  # fmt: skip
        self.guard.until((self.folder / "munge.socket").exists, "munged has no socket")
        for daemon in ("slurmctld", "slurmd"):
            options = ("-D", "-i", "-c") if daemon == "slurmctld" else ("-D", "-c")
            self.guard.start(daemon, daemon, *options, "-f", str(configuration))
        self.guard.until(lambda: self._state() == "idle", "the node is not idle")

    def _wrap_clients(self, configuration: Path) -> None:
        # Snakemake's job step clears the variables of Slurm, SLURM_CONF among them, but not PATH.
        for name in CLIENTS:
            if program := shutil.which(name):
                wrapper = self.folder / "bin" / name
                wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {program} "$@"\n')
                wrapper.chmod(0o755)

    def query(self, *command: str) -> str:
        """Return what a command of Slurm prints, empty if it fails."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, env=self.environment
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    def jobs(self, state: str) -> dict[str, str]:
        """Return the comments of the jobs in a state by their ids."""
        lines = self.query("squeue", "--noheader", f"--states={state}", "--format=%i|%k")
        return dict(line.split("|", 1) for line in lines.splitlines())

    def _state(self) -> str:
        answer = self.query("sinfo", "--noheader", "--format=%T")
        return re.sub(r"\W", "", answer)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster, and leave nothing of it behind."""
    with guarded_folder("slurm") as guard:
        cluster = Cluster(guard)
        cluster.start()
        yield cluster
