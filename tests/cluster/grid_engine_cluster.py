"""A real Grid Engine on this machine alone: Debian's daemons, one node, a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guard import FOLDER, Guard, guarded_folder
from slurm_cluster import free_ports

PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")
PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qconf", "qacct")
DEBIAN = Path("/var/lib/gridengine")
INITIALISE = Path("/usr/share/gridengine/scripts/init_cluster")

# Everything runs as root.
BOOTSTRAP = """Version: 6.2
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {folder}/spooldb
binary_path             /usr/lib/gridengine
qmaster_spool_dir       {folder}/spool/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
# Jobs of root, which are refused by default, and jobs that start and end at once.
GLOBAL = {
    "execd_spool_dir": "{folder}/spool/execd",
    "mailer": "/bin/true",
    "min_uid": "0",
    "min_gid": "0",
    "gid_range": "20000-20100",
    "load_report_time": "00:00:02",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false",
}
SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
QUEUE = {
    "qname": "test.q",
    "slots": "16",
    "pe_list": "smp",
    "load_thresholds": "NONE",
    "shell": "/bin/sh",
}
PARALLEL = {
    "pe_name": "smp",
    "slots": "9999",
    "user_lists": "NONE",
    "xuser_lists": "NONE",
    "start_proc_args": "NONE",
    "stop_proc_args": "NONE",
    "allocation_rule": "$pe_slots",
    "control_slaves": "TRUE",
    "job_is_first_task": "TRUE",
    "urgency_slots": "min",
    "accounting_summary": "TRUE",
    "qsort_args": "NONE",
}


def reason_to_skip() -> str | None:
    """Return why there can be no cluster here, None if there can."""
    if os.geteuid() != 0:
        return "the test's Grid Engine needs root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or not INITIALISE.exists():
        return f"no Grid Engine here: apt-get install {' '.join(PACKAGES)}"
    return None


@dataclass
class GridEngine:
    """The daemons in a folder of their own."""

    guard: Guard
    ports: list[int]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Grid Engine's commands mean this cluster."""
        return {**os.environ, **self._variables, FOLDER: str(self.guard.folder)}

    @property
    def _variables(self) -> dict[str, str]:
        master, execution = map(str, self.ports)
        return {
            "SGE_ROOT": str(self.guard.folder),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": master,
            "SGE_EXECD_PORT": execution,
            "SGE_ND": "1",  # daemons stay in the foreground
            "SGE_SINGLE_LINE": "1",
        }

    def start(self) -> None:
        """Make the folder, and start the daemons; return once jobs can run."""
        folder = self.guard.folder
        common = folder / "default" / "common"
        for made in (common, folder / "spool/qmaster/job_scripts", folder / "spool/execd"):
            made.mkdir(parents=True)
        (folder / "spooldb").mkdir()
        for name in ("bin", "lib", "util", "utilbin"):
            (folder / name).symlink_to(DEBIAN / name)
        (common / "bootstrap").write_text(BOOTSTRAP.format(folder=folder))
        # The name by which MPI's processes know the node too: else they take it for two nodes.
        host = socket.gethostname()
        (common / "act_qmaster").write_text(f"{host}\n")
        (common / "host_aliases").write_text(f"{host} localhost\n")
        self.command(str(INITIALISE), str(folder), "default", str(folder / "spooldb"), "root")
        self.guard.start("qmaster", "sge_qmaster", **self._variables)
        self.guard.until(lambda: self.query("qconf", "-sconf"), "the master does not answer")
        filled = {key: value.format(folder=folder) for key, value in GLOBAL.items()}
        self._change("-sconf", "-Mconf", filled, "global")
        self.command("qconf", "-as", host)
        self.guard.start("execd", "sge_execd", **self._variables)
        self.guard.until(lambda: host in self.query("qconf", "-sel"), "there is no node")
        self._write("pe", PARALLEL, "")
        self.command("qconf", "-Ap", str(folder / "pe"))
        self._change("-sq", "-Aq", {**QUEUE, "hostlist": host}, "queue")
        self._change("-ssconf", "-Msconf", SCHEDULER, "scheduler")

    def command(self, *command: str) -> str:
        """Run a command of Grid Engine, which has to succeed, and return what it prints."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=self.environment
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}{self.guard.logs()}")
        return done.stdout

    def query(self, *command: str) -> str:
        """Return what a command of Grid Engine prints, empty if it fails."""
        return self.guard.query(command, self.environment)

    def _change(self, show: str, load: str, values: dict[str, str], name: str) -> None:
        self._write(name, values, self.command("qconf", show))
        self.command("qconf", load, str(self.guard.folder / name))

    def _write(self, name: str, values: dict[str, str], before: str) -> None:
        """Write a file of keys and values, those that are there before first."""
        lines = [line.split(None, 1) for line in before.splitlines() if line[:1] not in ("", "#")]
        table = {**{key: rest[0] for key, *rest in lines if rest}, **values}
        text = "".join(f"{key} {value}\n" for key, value in table.items())
        (self.guard.folder / name).write_text(text)


@contextmanager
def running_grid_engine() -> Iterator[GridEngine]:
    """Start a cluster, and leave nothing of it behind."""
    with guarded_folder("sge") as guard:
        cluster = GridEngine(guard, free_ports(2))
        cluster.start()
        yield cluster
