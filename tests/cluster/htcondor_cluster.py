"""A real HTCondor on this machine alone: Debian's daemons, one node, a folder of its own.

HTCondor runs no jobs of root. The daemons and the commands therefore run in a user namespace, in
which root appears as ``nobody`` and still owns its files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from guard import FOLDER, Guard, guarded_folder

PACKAGES = ("minihtcondor",)
PROGRAMS = ("condor_master", "condor_submit", "condor_q", "condor_history", "condor_rm", "unshare")
CLIENTS = ("condor_history", "condor_q", "condor_rm", "condor_status", "condor_submit")
AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")

# Jobs start and end at once; ports are those that are free.
CONFIGURATION = """RELEASE_DIR = /usr
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
BIN = /usr/bin
SBIN = /usr/sbin
SHARE = /usr/share/condor
LOCAL_DIR = {folder}
LOG = {folder}/log
SPOOL = {folder}/spool
EXECUTE = {folder}/execute
LOCK = {folder}/lock
RUN = {folder}/run
NETWORK_INTERFACE = 127.0.0.1
use ROLE: Personal
use SECURITY: user_based
COLLECTOR_HOST = 127.0.0.1:0
COLLECTOR_ADDRESS_FILE = {folder}/log/.collector_address
USE_SHARED_PORT = False
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
NUM_CPUS = 16
MEMORY = 64000
START = TRUE
SUSPEND = FALSE
PREEMPT = FALSE
KILL = FALSE
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 1
PERIODIC_EXPR_INTERVAL = 1
UPDATE_INTERVAL = 2
STARTER_UPDATE_INTERVAL = 2
"""


def reason_to_skip() -> str | None:
    """Return why there can be no cluster here, None if there can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"no HTCondor here: apt-get install {' '.join(PACKAGES)}"
    if subprocess.run([*AS_NOBODY, "true"], capture_output=True).returncode != 0:
        return "no HTCondor here: user namespaces are not allowed"
    return None


@dataclass
class HTCondor:
    """The daemons in a folder of their own."""

    guard: Guard

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which HTCondor's commands mean this cluster."""
        folder = self.guard.folder
        return {
            **os.environ,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "CONDOR_CONFIG": str(folder / "condor_config"),
            FOLDER: str(folder),
        }

    def start(self) -> None:
        """Write the configuration, and start the daemons; return once jobs can run."""
        folder = self.guard.folder
        for name in ("bin", "log", "spool", "execute", "lock", "run"):
            (folder / name).mkdir()
        configuration = folder / "condor_config"
        configuration.write_text(CONFIGURATION.format(folder=folder))
        for name in CLIENTS:
            wrapper = folder / "bin" / name
            wrapper.write_text(f'#!/bin/sh\nexec {" ".join(AS_NOBODY)} {shutil.which(name)} "$@"\n')
            wrapper.chmod(0o755)
        master = (*AS_NOBODY, "condor_master", "-f")
        self.guard.start("master", *master, CONDOR_CONFIG=str(configuration))
        self.guard.until(
            lambda: "slot1@" in self.query("condor_status", "-af", "Name"), "there is no node"
        )

    def query(self, *command: str) -> str:
        """Return what a command of HTCondor prints, empty if it fails."""
        return self.guard.query(command, self.environment)


@contextmanager
def running_htcondor() -> Iterator[HTCondor]:
    """Start a cluster, and leave nothing of it behind."""
    with guarded_folder("condor") as guard:
        cluster = HTCondor(guard)
        cluster.start()
        yield cluster
