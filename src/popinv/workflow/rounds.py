"""The rounds of solves of a study: their names, their numbers of solves, their chunks and jobs.

Besides the numbered rounds there is ``truth``, the synthetic population itself, and ``check``, the
fresh solves on which the last surrogate is judged. A study that asks for evidence has ``fixed``,
the broad design that active learning is compared with, and ``systems_N``, further populations of N
systems.
"""

from __future__ import annotations

from collections.abc import Mapping

from popinv.config.study import Study

# A round of fewer seconds is one job. As three jobs it would start Python two times more, which
# takes some seconds; as one, all is solved again if another part of it changes.
_AT_ONCE_SECONDS = 20.0


def rounds_of(study: Study) -> list[str]:
    """Return the names of the rounds of solves that every study of this kind has."""
    numbered = [str(number) for number in range(study.active_learning.rounds)]
    return [*(["truth"] if study.is_synthetic() else []), *numbered, "check"]


def solve_count(study: Study, round_name: str) -> int:
    """Return the largest number of systems that a round solves."""
    if round_name == "truth":
        return study.synthetic().count + study.synthetic().heldout
    if round_name == "check":
        return study.assessment.surrogate_check
    if round_name == "fixed":
        return max(study.evidence.design_counts, default=0)
    if round_name.startswith("systems_"):
        return int(round_name.removeprefix("systems_")) * study.evidence.repeats
    learning = study.active_learning
    return learning.first_design if round_name == "0" else learning.solves_per_round


def counts_of_rounds(study: Study) -> dict[str, int]:
    """Return the largest numbers of solves of the numbered rounds and of the check, in order."""
    return {name: solve_count(study, name) for name in rounds_of(study) if name != "truth"}


def chunk_count(study: Study, round_name: str) -> int:
    """Return the number of chunk jobs of a round."""
    return -(-solve_count(study, round_name) // study.active_learning.chunk_size)


def has_chunk(study: Study, wildcards: Mapping[str, str]) -> bool:
    """Return whether a study has a job with these wildcards, as far as its chunk is concerned.

    Larger chunks are fewer, and what is solved at once has none.
    """
    if not wildcards.get("chunk", "").isdigit():
        return True
    count = chunk_count(study, wildcards["round"])
    return int(wildcards["chunk"]) < count and not solves_at_once(study)


def solves_at_once(study: Study) -> bool:
    """Return whether one job draws the parameters of a round, solves and collects them.

    That is so where each round is a single chunk that takes seconds. It depends on the study alone,
    so that results are the same on a workstation and on a cluster. Where nothing is known of the
    time of a solve, the parts are jobs of their own.
    """
    if study.ranks() > 1 or study.forward.cost().guess:
        return False
    evidence = ["fixed", *(f"systems_{count}" for count in study.evidence.system_counts)]
    largest = max(solve_count(study, name) for name in (*rounds_of(study), *evidence))
    one_chunk = largest <= study.active_learning.chunk_size
    return one_chunk and largest * study.seconds_per_solve() <= _AT_ONCE_SECONDS
