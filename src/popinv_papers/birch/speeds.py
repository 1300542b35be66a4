"""The times of workers and of the server, measured before the runs that they predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.errors import DataError
from popinv_papers.birch.catalogue import policy
from popinv_papers.birch.engine import Workers
from popinv_papers.birch.live import Handling, RealRun, Team
from popinv_papers.birch.steps import Plain

# Gradients of each worker that are left out as it warms up, and of the slowest that are timed.
_WARM, _TIMED = 2, 6
# Fewest gradients of any worker that are timed, and how often twice as many are asked for.
_FEWEST_TIMED, _MOST_TIMINGS = 2, 8


@dataclass(frozen=True)
class Speeds:
    """What was measured before the runs: times of gradients, and of the server's work."""

    workers: Workers
    handling: Handling


def measured(team: Team, start: np.ndarray, message: float) -> Speeds:
    """Let all workers compute at once, without steps, and time them and the server.

    Returns
    -------
    Speeds
        The mean time of each worker's gradients, their coefficient of variation over all workers,
        and the mean times of the server's work.
    """
    slowest, n = max(team.seconds), len(team.seconds)
    wanted = (_WARM + _TIMED) * sum(slowest / least for least in team.seconds)
    workers = Workers(tuple(team.seconds), (0.0,) * n)
    for longer in range(_MOST_TIMINGS):
        run = RealRun(team, workers, policy("asynchronous", n, {}), start, Plain(0.0), 10**9)
        run.until(int(np.ceil(wanted * 2**longer)))
        # On a busy machine, the others may be done before a worker has begun.
        if min(map(len, run.took)) >= _WARM + _FEWEST_TIMED:
            break
    else:
        raise DataError(
            f"a worker computed {min(map(len, run.took))} gradients while the others computed "
            f"{max(map(len, run.took))}, too few to tell its time; give it a time in 'seconds' "
            "nearer to theirs, or try again when the machine is less busy"
        )
    kept = [np.array(took[_WARM:]) for took in run.took]
    relative = np.concatenate([times / times.mean() for times in kept])
    handling = {kind: float(np.mean(times[n:])) for kind, times in run.worked.items()}
    found = Workers(
        tuple(float(times.mean()) for times in kept), (message,) * n, float(relative.std())
    )
    return Speeds(found, Handling(**handling))
