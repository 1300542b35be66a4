"""Print whether a scheduler's job runs, has succeeded or has failed, for Snakemake.

Use: ``python -m popinv.cli.job_state SCHEDULER JOB``, as the profiles in ``workflow/profiles`` do.
The commands of a scheduler run in turn; the ones that know waiting and running jobs run first. The
module understands the outputs of Grid Engine 8.1, HTCondor 23, Slurm 24.11, and, after
their manuals, LSF 10, OpenPBS and Torque.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RUNNING, SUCCESS, FAILED = "running", "success", "failed"

# Between the end of a job and its entry in the accounts.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Question:
    """A command to which the number of a job is added, and the reading of its output.

    Parameters
    ----------
    command : tuple of str
        ``{job}`` stands for the number of the job.
    read : callable
        Returns the state of the job, None if the output does not tell it.
    """

    command: tuple[str, ...]
    read: Callable[[str], str | None]


def _ended(succeeded: bool) -> str:
    return SUCCESS if succeeded else FAILED


def _read_grid_engine_queue(output: str) -> str | None:
    if not re.search(r"^job_number:", output, re.MULTILINE):
        return None
    # Such a job (state Eqw) waits until an administrator clears it.
    return FAILED if re.search(r"^error reason", output, re.MULTILINE) else RUNNING


def _read_grid_engine_accounts(output: str) -> str | None:
    # A number that was given again: the last record belongs to this job. "failed" is a number,
    # which a text may follow.
    records = re.findall(r"^failed +(\d+).*\nexit_status +(\d+)", output, re.MULTILINE)
    return _ended(records[-1] == ("0", "0")) if records else None


def _read_htcondor(output: str) -> str | None:
    words = output.split()
    if not words:
        return None
    status, code = words[0], words[1] if len(words) > 1 else ""
    # 1 idle, 2 running, 3 removed, 4 completed, 5 held, 6 transferring output, 7 suspended.
    if status in ("3", "5"):
        return FAILED
    return _ended(code == "0") if status == "4" else RUNNING


def _read_lsf(output: str) -> str | None:
    state = output.split()[0] if output.split() else ""
    if state == "DONE":
        return SUCCESS
    if state in ("EXIT", "ZOMBI"):
        return FAILED
    waiting = ("PEND", "PROV", "PSUSP", "RUN", "SSUSP", "USUSP", "UNKWN", "WAIT")
    return RUNNING if state in waiting else None


def _read_pbs(output: str) -> str | None:
    # Torque answers the option -x in XML.
    state = re.search(r"job_state *[=>] *(\w)", output)
    if state is None:
        return None
    # F is OpenPBS's letter of a finished job, C is Torque's.
    if state[1] not in "FC":
        return RUNNING
    code = re.search(r"exit_status *[=>] *(-?\d+)", output, re.IGNORECASE)
    return _ended(code is not None and code[1] == "0")


_SLURM_ALIVE = (
    *("COMPLETING", "CONFIGURING", "PENDING", "REQUEUED", "RESIZING", "RUNNING"),
    *("SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"),
)


def _read_slurm(output: str) -> str | None:
    found = re.search(r"(?:JobState=|\A)([A-Z_]{3,})", output)
    if found is None:
        return None
    return RUNNING if found[1] in _SLURM_ALIVE else _ended(found[1] == "COMPLETED")


SCHEDULERS: dict[str, tuple[Question, ...]] = {
    "grid_engine": (
        Question(("qstat", "-j", "{job}"), _read_grid_engine_queue),
        Question(("qacct", "-j", "{job}"), _read_grid_engine_accounts),
    ),
    "htcondor": (
        Question(("condor_q", "{job}", "-af", "JobStatus", "ExitCode"), _read_htcondor),
        Question(
            ("condor_history", "{job}", "-limit", "1", "-af", "JobStatus", "ExitCode"),
            _read_htcondor,
        ),
    ),
    "lsf": (Question(("bjobs", "-noheader", "-o", "stat exit_code", "{job}"), _read_lsf),),
    "pbs": (Question(("qstat", "-x", "-f", "{job}"), _read_pbs),),
    "sbatch": (
        Question(("scontrol", "show", "job", "--oneliner", "{job}"), _read_slurm),
        Question(
            ("sacct", "--noheader", "--parsable2", "--allocations", "-o", "State", "-j", "{job}"),
            _read_slurm,
        ),
    ),
}


def _answer(command: Sequence[str]) -> tuple[str, str]:
    """Return what a command prints, and its complaint, empty where there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return "", f"{command[0]}: {error}"
    return done.stdout, done.stderr.strip()


def job_state(scheduler: str, job: str, patience: float | None = None) -> str:
    """Return the state of a job.

    Parameters
    ----------
    scheduler : str
        A key of `SCHEDULERS`.
    job : str
        Its number.
    patience : float, optional
        The seconds for which to look again for a job that no command knows, a minute by default.
        A job appears in the accounts some time after it has left the queue.

    Returns
    -------
    str
        ``running`` (or waiting), ``success`` or ``failed``.

    Raises
    ------
    LookupError
        If no command knows the state.
    """
    deadline = time.monotonic() + (_PATIENCE_SECONDS if patience is None else patience)
    while True:
        complaints = []
        for question in SCHEDULERS[scheduler]:
            command = [word.format(job=job) for word in question.command]
            output, complaint = _answer(command)
            state = question.read(output)
            if state is not None:
                return state
            complaints.append(f"{' '.join(command)}: {complaint or 'tells no state'}")
        if time.monotonic() >= deadline:
            raise LookupError("\n".join(complaints))
        time.sleep(1.0)


def main(arguments: Sequence[str]) -> int:
    """Print the state of a job; a job that no command knows has failed, with a message."""
    if len(arguments) != 2 or arguments[0] not in SCHEDULERS:
        print(
            f"Given: {' '.join(arguments)}. Allowed are a scheduler ({', '.join(SCHEDULERS)}) "
            "and the number of a job.",
            file=sys.stderr,
        )
        return 2
    try:
        print(job_state(arguments[0], arguments[1]))
    except LookupError as error:
        print(
            f"The state of job {arguments[1]} cannot be found, so it counts as failed:\n{error}\n"
            "See docs/cluster.md for the records that the scheduler has to keep.",
            file=sys.stderr,
        )
        print(FAILED)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
