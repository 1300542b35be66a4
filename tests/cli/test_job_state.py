"""What schedulers print about a job, and the word that Snakemake is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from popinv.cli.job_state import SCHEDULERS, job_state, main

# Recorded from Grid Engine 8.1.9, HTCondor 23.9.6 and Slurm 24.11.5, shortened.
GRID_ENGINE_QUEUE = """==============================================================
job_number:                 1
exec_file:                  job_scripts/1
owner:                      root
hard resource_list:         h_rt=60,mem_free=100M
parallel environment:  smp range: 2
scheduling info:            There are no messages available
"""
GRID_ENGINE_ERROR = GRID_ENGINE_QUEUE + "error reason          1:      can't get password entry\n"
# What "qstat -j" prints if it is given no number.
GRID_ENGINE_NO_JOB = "scheduling info:            All queues dropped because of overload or full\n"
GRID_ENGINE_ACCOUNTS = """==============================================================
qname        test.q
jobnumber    1
slots        2
failed       {failed}
exit_status  {code}
ru_wallclock 4s
"""
KILLED = GRID_ENGINE_ACCOUNTS.format(failed="100 : assumedly after job", code="137  (Killed)")
SLURM = (
    "JobId=3 JobName=wrap UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 Nice=0 "
    "Account=(null) QOS=(null) JobState={state} Reason=None Dependency=(null) ExitCode={code}\n"
)
# After the manuals of LSF 10.1 (bjobs), OpenPBS 20 and Torque 6 (qstat).
PBS = "Job Id: 17.head\n    Job_Name = popinv_deconvolve\n    job_state = {state}\n{end}"
TORQUE = "<Data><Job><Job_Id>17.head</Job_Id><job_state>{state}</job_state>{end}</Job></Data>"

READINGS = [
    ("grid_engine", 0, GRID_ENGINE_QUEUE, "running"),
    ("grid_engine", 0, GRID_ENGINE_ERROR, "failed"),
    ("grid_engine", 0, GRID_ENGINE_NO_JOB, None),
    ("grid_engine", 0, "", None),
    ("grid_engine", 1, GRID_ENGINE_ACCOUNTS.format(failed="0    ", code="0"), "success"),
    ("grid_engine", 1, GRID_ENGINE_ACCOUNTS.format(failed="0    ", code="3"), "failed"),
    ("grid_engine", 1, KILLED, "failed"),
    # Numbers begin again after 9,999,999 jobs: the last record is the one.
    ("grid_engine", 1, KILLED + GRID_ENGINE_ACCOUNTS.format(failed=0, code=0), "success"),
    ("grid_engine", 1, GRID_ENGINE_ACCOUNTS.format(failed=0, code=0) + KILLED, "failed"),
    ("htcondor", 0, "1 undefined\n", "running"),
    ("htcondor", 0, "2 undefined\n", "running"),
    ("htcondor", 0, "5 undefined\n", "failed"),
    ("htcondor", 0, "", None),
    ("htcondor", 1, "4 0\n", "success"),
    ("htcondor", 1, "4 3\n", "failed"),
    # Ended by a signal.
    ("htcondor", 1, "4 undefined\n", "failed"),
    ("htcondor", 1, "3 undefined\n", "failed"),
    ("htcondor", 1, "", None),
    ("lsf", 0, "PEND -\n", "running"),
    ("lsf", 0, "RUN -\n", "running"),
    ("lsf", 0, "DONE -\n", "success"),
    ("lsf", 0, "EXIT 140\n", "failed"),
    ("lsf", 0, "", None),
    ("lsf", 0, "Job <7> is not found\n", None),
    ("pbs", 0, PBS.format(state="Q", end=""), "running"),
    ("pbs", 0, PBS.format(state="R", end=""), "running"),
    ("pbs", 0, PBS.format(state="F", end="    Exit_status = 0\n"), "success"),
    ("pbs", 0, PBS.format(state="F", end="    Exit_status = -29\n"), "failed"),
    # Deleted before it ran.
    ("pbs", 0, PBS.format(state="F", end=""), "failed"),
    ("pbs", 0, TORQUE.format(state="R", end=""), "running"),
    ("pbs", 0, TORQUE.format(state="C", end="<exit_status>0</exit_status>"), "success"),
    ("pbs", 0, TORQUE.format(state="C", end="<exit_status>271</exit_status>"), "failed"),
    ("pbs", 0, "", None),
    ("sbatch", 0, SLURM.format(state="PENDING", code="0:0"), "running"),
    ("sbatch", 0, SLURM.format(state="COMPLETING", code="0:0"), "running"),
    ("sbatch", 0, SLURM.format(state="COMPLETED", code="0:0"), "success"),
    ("sbatch", 0, SLURM.format(state="FAILED", code="3:0"), "failed"),
    ("sbatch", 0, SLURM.format(state="TIMEOUT", code="0:15"), "failed"),
    ("sbatch", 0, "", None),
    ("sbatch", 1, "COMPLETED\n", "success"),
    ("sbatch", 1, "OUT_OF_MEMORY\n", "failed"),
    ("sbatch", 1, "CANCELLED by 0\n", "failed"),
    ("sbatch", 1, "", None),
]


@pytest.mark.parametrize(("scheduler", "question", "output", "state"), READINGS)
def test_outputs_are_understood(scheduler, question, output, state):
    assert SCHEDULERS[scheduler][question].read(output) == state


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that makes a command, which prints and fails as asked for."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(name: str, script: str) -> Path:
        command = tmp_path / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        return command

    return make


def test_a_job_that_has_left_the_queue_is_looked_up_in_the_accounts(commands, tmp_path):
    commands(
        "qstat", f'echo "$@" >> {tmp_path}/asked; echo "Following jobs do not exist" >&2; exit 1'
    )
    commands("qacct", f'echo "$@" >> {tmp_path}/asked; echo "failed 0\nexit_status 0"')
    assert job_state("grid_engine", "17", patience=0) == "success"
    assert (tmp_path / "asked").read_text() == "-j 17\n-j 17\n"


def test_the_accounts_are_waited_for(commands, tmp_path):
    commands("qstat", "exit 1")
    # There at the second time of asking.
    commands(
        "qacct", f"test -e {tmp_path}/x && echo 'failed 0\nexit_status 0' || touch {tmp_path}/x"
    )
    assert job_state("grid_engine", "17") == "success"


def test_a_job_without_a_record_has_failed_and_it_is_said_why(commands, monkeypatch, capsys):
    monkeypatch.setattr("popinv.cli.job_state._PATIENCE_SECONDS", 0.0)
    commands("bjobs", "echo 'Job <17> is not found' >&2; exit 255")
    assert main(["lsf", "17"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "failed\n"
    assert "bjobs -noheader -o stat exit_code 17: Job <17> is not found" in printed.err


def test_a_command_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LookupError, match=r"condor_q: .*No such file"):
        job_state("htcondor", "17", patience=0)


def test_a_wrong_scheduler_is_refused(capsys):
    assert main(["nqs", "17"]) == 2
    assert "Given: nqs 17. Allowed are a scheduler (grid_engine, " in capsys.readouterr().err
