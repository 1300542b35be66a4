"""The rounds of solves of a study: their names, their numbers of solves, their chunks and jobs.

Besides the numbered rounds there is ``truth``, the synthetic population itself, and ``check``, the
fresh solves on which the last surrogate is judged. A study with evidence has ``fixed``,
the broad design that active learning is compared with, and ``systems_N``, further populations of N
systems.
"""

from __future__ import annotations

from popinv.config.study import Study

# Rounds of fewer seconds are made in one job, if their trainings are short too. In parts, a round
# starts Python five times, which takes some seconds each; in one job, all is made again if another
# part of it changes.
_AT_ONCE_SECONDS = 20.0


def rounds_of(study: Study) -> list[str]:
    """Return the names of the rounds of solves that every study of this kind has."""
    numbered = [str(number) for number in range(study.active_learning.rounds)]
    return [*(["truth"] if study.is_synthetic() else []), *numbered, "check"]


def solve_count(study: Study, round_name: str) -> int:
    """Return the largest number of systems, or of members of groups, that a round solves."""
    if round_name == "truth":
        synthetic = study.synthetic()
        return (synthetic.count + synthetic.heldout) * synthetic.members_of_group
    if round_name == "check":
        return study.assessment.surrogate_check
    if round_name == "fixed":
        return max(study.evidence.design_counts, default=0)
    if round_name.startswith("systems_"):
        systems = int(round_name.removeprefix("systems_")) * study.evidence.repeats
        return systems * study.synthetic().members_of_group
    learning = study.active_learning
    return learning.first_design if round_name == "0" else learning.solves_per_round


def counts_of_rounds(study: Study) -> dict[str, int]:
    """Return the largest numbers of solves of the numbered rounds and of the check, in order."""
    return {name: solve_count(study, name) for name in rounds_of(study) if name != "truth"}


def chunk_count(study: Study, round_name: str) -> int:
    """Return the number of chunk jobs of a round."""
    return -(-solve_count(study, round_name) // study.active_learning.chunk_size)


def is_evidence(round_name: str) -> bool:
    """Return whether a round belongs to the evidence of a study."""
    return round_name == "fixed" or round_name.startswith("systems_")


def previous_round(study: Study, round_name: str) -> int | None:
    """Return the round whose surrogate and estimate a round continues, or None."""
    if round_name == "check":
        return study.last_round()
    if round_name == "0" or not round_name.isdigit():
        return None
    return int(round_name) - 1


def solves_at_once(study: Study) -> bool:
    """Return whether the solves of each round are a single chunk that takes seconds.

    It depends on the study alone, so that results are the same on a workstation and on a cluster.
    Where nothing is known of the time of a solve, it is not so.
    """
    if study.ranks() > 1 or study.forward.cost().guess:
        return False
    largest = max(solve_count(study, name) for name in rounds_of(study))
    one_chunk = largest <= study.active_learning.chunk_size
    return one_chunk and largest * study.seconds_per_solve() <= _AT_ONCE_SECONDS
