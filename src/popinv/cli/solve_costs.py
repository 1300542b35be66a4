"""The time of a study's solves in words, and the keys that change it."""

from __future__ import annotations

import math

from popinv.config.study import Study
from popinv.forward.external.section import ExternalSection
from popinv.workflow.rounds import solve_count

# Seconds of all solves from which on the keys are named that change their number.
_LONG_STUDY = 600.0
# Seconds of a solve that is worth being kept by itself, and of the solves of one job.
_KEPT_ALONE, _LONG_JOB = 10.0, 8 * 3600.0
# A time limit below this many times the mean time of a solve may end good solves.
_LIMIT = 3


def solves_of(study: Study) -> list[tuple[int, str]]:
    """Return the largest numbers of a study's solves, each with the key that sets it."""
    learning, assessment = study.active_learning, study.assessment
    later = learning.rounds - 1
    found = [
        (solve_count(study, "0"), "active_learning.first_design"),
        (later * solve_count(study, "1"), "active_learning.solves_per_round and .rounds"),
        (solve_count(study, "check"), "assessment.surrogate_check"),
    ]
    if study.is_synthetic():
        found.append((solve_count(study, "truth"), "observations.count and .heldout"))
    if study.has_sampling_error():
        repeated = assessment.repeats * assessment.repeated_systems
        found.append((repeated, "assessment.repeats and .repeated_systems"))
    return [(count, key) for count, key in found if count]


def all_solves(study: Study) -> int:
    """Return the largest number of a study's solves."""
    return sum(count for count, _ in solves_of(study))


def study_costs(study: Study, seconds: float) -> list[str]:
    """Return lines about keys that change the time of a study's solves, where they matter.

    Parameters
    ----------
    seconds : float
        Measured time of a solve.
    """
    counts = sorted(solves_of(study), reverse=True)
    lines = _unsuited_keys(study, seconds)
    if seconds * all_solves(study) < _LONG_STUDY:
        return lines
    parts = [f"{key}: {count} ({duration(count * seconds)})" for count, key in counts]
    return [f"to solve fewer, lower the first of these: {'; '.join(parts)}", *lines]


def _unsuited_keys(study: Study, seconds: float) -> list[str]:
    """Return a line for each key of the solves that does not suit their time."""
    section, lines = study.forward, []
    if isinstance(section, ExternalSection):
        if seconds * _LIMIT > section.time_limit:
            lines.append(
                f"forward.time_limit ({section.time_limit:g} s) is close to the time of a solve: "
                f"set it to {math.ceil(2 * _LIMIT * seconds)} or more"
            )
        if seconds >= _KEPT_ALONE and section.most_rows() > 1:
            lines.append(
                f"a call of up to {section.most_rows()} systems is kept when all have ended: set "
                "'forward.rows_per_call: 1', so that a killed job loses one solve"
            )
    chunk = min(study.active_learning.chunk_size, max(solve_count(study, "0"), 1))
    job = section.solving_seconds(chunk, seconds)
    if job >= _LONG_JOB and chunk > 1:
        fitting = max(1, int(chunk * _LONG_JOB / job))
        lines.append(
            f"one job solves {chunk} systems, {duration(job)}: 'active_learning.chunk_size: "
            f"{fitting}' spreads them over more jobs"
        )
    return lines


def duration(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> duration(0.001), duration(0.0502), duration(110), duration(150), duration(1.8e6)
    ('less than 0.01 s', '0.05 s', '110 s', '2.5 min', '500 h')
    """
    if seconds < 0.01:
        return "less than 0.01 s"
    units = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
    unit, size = next(each for each in units if seconds >= 2 * each[1] or each[0] == "s")
    # Two digits, without an exponent.
    return f"{float(f'{seconds / size:.2g}'):,.10g} {unit}"
