"""A real Slurm on this machine alone: one node or several, no accounting, no cgroups.

Each node is a daemon of its own on the same host, with its own name, port and folder. The
daemons are Debian's. All their files lie in a folder of their own, which a guard removes, so
several clusters run at once, beside the machine's own Slurm if it has one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from guard import FOLDER, Guard, guarded_folder, processes_that_hold, processes_with

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun", "munged")
# What asks the daemons, and has to find their configuration.
CLIENTS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
PARTITION = "test"
# More than the machine has: the tasks of an array that wait for the first one hold their places,
# and its repetition needs one too.
CPUS, MEMORY_MB = 16, 64000

# A node that does not answer for so many seconds is lost. With 10 s, a node that was there
# counted as lost too, as the controller asks none while it waits for a lost one. A single node
# keeps Slurm's default.
NODE_TIMEOUT, DEFAULT_TIMEOUT = 30, 300

# What a test cluster needs to differ from a real one: everything runs as root, nothing is tracked
# through cgroups, and jobs start and end at once. A job above its memory is killed within seconds.
TEMPLATE = """ClusterName=popinv-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
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
SlurmdTimeout={timeout}
{nodes}PartitionName={partition} Nodes=ALL LLN=YES Default=NO MaxTime=INFINITE State=UP
"""
NODE = """NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} \
CPUs={cpus} RealMemory={memory} State=UNKNOWN
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


def host_name() -> str:
    """Return the name of this machine, without its domain."""
    return socket.gethostname().split(".")[0]


@dataclass
class Cluster:
    """The daemons in a folder of their own."""

    guard: Guard
    count: int = 1

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes; a single one is named as the machine is."""
        if self.count == 1:
            return [host_name()]
        return [f"node{number}" for number in range(1, self.count + 1)]

    @property
    def folder(self) -> Path:
        """The folder of all files of the cluster."""
        return self.guard.folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands mean this cluster."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        # The nodes have one address. Open MPI finds no way from it to itself, unless it compares
        # addresses alone.
        mpi = {"OMPI_MCA_reachable": "weighted"}
        return {**os.environ, **mpi, "PATH": path, FOLDER: str(self.folder)}

    def start(self) -> None:
        """Write the configuration, and start the daemons; return once the nodes are idle."""
        controller_port, *ports = free_ports(1 + self.count)
        for name in ("bin", "state", "spool", "tmp"):
            (self.folder / name).mkdir()
        for node in self.nodes:
            # Slurm does not make it. The nodes would remove each other's files in a common one.
            (self.folder / "tmp" / node).mkdir()
        addresses = zip(self.nodes, ports, strict=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        configuration = self.folder / "slurm.conf"
        configuration.write_text(
            TEMPLATE.format(
                host=host_name(),
                folder=self.folder,
                controller_port=controller_port,
                timeout=DEFAULT_TIMEOUT if self.count == 1 else NODE_TIMEOUT,
                partition=PARTITION,
                nodes="".join(
                    NODE.format(name=name, host=host_name(), port=port, cpus=CPUS, memory=MEMORY_MB)
                    for name, port in addresses
                ),
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
        given = ("-f", str(configuration))
        self.guard.start("slurmctld", "slurmctld", "-D", "-i", "-c", *given)
        for name in self.nodes:
            self.guard.start(name, "slurmd", "-D", "-c", "-N", name, *given)
        idle = dict.fromkeys(self.nodes, "idle")
        self.guard.until(lambda: self.states() == idle, "the nodes are not idle")

    def lose(self, node: str) -> None:
        """Kill the daemon of a node and all that runs there, at once, as a loss of power does.

        The controller notices after ``NODE_TIMEOUT`` seconds.
        """
        # The daemons hold the log. They overwrite their environment, by which jobs are known.
        log = self.folder / f"{node}.log"
        marks = {f"SLURMD_NODENAME={node}".encode(), f"{FOLDER}={self.folder}".encode()}
        # What was started meanwhile is killed in the next turn.
        while running := processes_that_hold(log) | processes_with(marks):
            # All are stopped first, so that none reports the death of another.
            for sent in (signal.SIGSTOP, signal.SIGKILL):
                for process in running:
                    with suppress(ProcessLookupError):
                        os.kill(process, sent)
            time.sleep(0.05)

    def _wrap_clients(self, configuration: Path) -> None:
        # Snakemake's job step clears the variables of Slurm, SLURM_CONF among them, but not PATH.
        for name in CLIENTS:
            if program := shutil.which(name):
                wrapper = self.folder / "bin" / name
                wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {program} "$@"\n')
                wrapper.chmod(0o755)

    def query(self, *command: str) -> str:
        """Return what a command of Slurm prints, empty if it fails."""
        return self.guard.query(command, self.environment)

    def jobs(self, state: str) -> dict[str, str]:
        """Return the comments of the jobs in a state by their ids."""
        lines = self.query("squeue", "--noheader", f"--states={state}", "--format=%i|%k")
        return dict(line.split("|", 1) for line in lines.splitlines())

    def nodes_of_step(self, step: str) -> list[str]:
        """Return the nodes that have started tasks of a step of a job, given as ``JOB.STEP``."""
        told = f"launch task StepId={step} "
        return [n for n in self.nodes if told in (self.folder / f"{n}.log").read_text()]

    def states(self) -> dict[str, str]:
        """Return the state of each node."""
        answer = self.query("sinfo", "--noheader", "--Node", "--format=%N %T")
        pairs = (line.split() for line in answer.splitlines())
        return {name: re.sub(r"\W", "", state) for name, state in pairs}


@contextmanager
def running_cluster(count: int = 1) -> Iterator[Cluster]:
    """Start a cluster of so many nodes, and leave nothing of it behind."""
    with guarded_folder("slurm") as guard:
        cluster = Cluster(guard, count)
        cluster.start()
        yield cluster
