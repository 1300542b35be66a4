"""Functions of a checked configuration that the workflow's rules use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from popinv.config.study import Study
from popinv.errors import ConfigError
from popinv.forward.external.files import simulator_hash
from popinv.inference.settings import wants_likelihood as estimator_wants_likelihood
from popinv.population.laws.section import LawSection
from popinv.population.noise.section import NoiseSection
from popinv.population.sections import SyntheticObservations
from popinv.sections.outside import is_outside

# The resources of jobs bound the time of a solve; it takes about a fifth of that bound.
_OF_BOUND = 0.2
# A round of fewer seconds is one job. As three jobs it would start Python two times more, which
# takes some seconds; as one, all is solved again if another part of it changes.
_AT_ONCE_SECONDS = 20.0


def is_synthetic(study: Study) -> bool:
    """Return whether the observations are drawn from a known truth."""
    return isinstance(study.observations, SyntheticObservations)


def _synthetic(study: Study) -> SyntheticObservations:
    if not isinstance(study.observations, SyntheticObservations):
        raise TypeError(f"the observations come from {study.observations.file} and have no truth")
    return study.observations


def true_law(study: Study) -> LawSection:
    """Return the law of a synthetic study with the true values in the place of the start.

    The spread of the first design plays no part in the truth. It is the same here for all studies,
    so that a change of it draws no new population.
    """
    law: LawSection = study.law.replace(start=_synthetic(study).truth.law, spread=0.0)
    return law


def true_noise(study: Study) -> NoiseSection:
    """Return the noise family with which a synthetic study is observed."""
    return _synthetic(study).truth.noise_model or study.noise


def simulator_of(study: Study) -> str:
    """Return a hash of the files of the user's own simulator; it is constant if there is none.

    Snakemake does not see these files: as a parameter of the rule that solves, the hash repeats
    the solves when they change.
    """
    return simulator_hash(study.forward.source_files())


def has_known(study: Study) -> bool:
    """Return whether a design or covariates are known of each system."""
    return bool(study.forward.design() or study.law.covariate_names())


def known_distributions(study: Study) -> SyntheticObservations | None:
    """Return the section that says how known quantities are spread; None where there are none."""
    return _synthetic(study) if has_known(study) else None


def has_sampling_error(study: Study) -> bool:
    """Return whether repeated solves are to measure the sampling error of the forward model."""
    return bool(study.assessment.repeats) and study.forward.has_sampling_error()


def has_states(study: Study) -> bool:
    """Return whether the forward model can show whole states; see `popinv.forward.states`."""
    return not is_outside(study.forward.kind) and study.forward.has_states()


def last_round(study: Study) -> int:
    """Return the number of the last round of active learning; the first is 0."""
    return study.active_learning.rounds - 1


def ranks_of(study: Study) -> int:
    """Return the number of processes that solve each system together."""
    return int(getattr(study.forward, "ranks", 1))


def chooses_solves(study: Study) -> bool:
    """Return whether the surrogate, by its own uncertainty, chooses the solves of later rounds."""
    return study.surrogate.kind == "gaussian_process" and study.surrogate.candidates > 0


def candidate_count(study: Study) -> int:
    """Return the number of draws among which a surrogate chooses the next solves; 0 for none."""
    return study.surrogate.candidates if chooses_solves(study) else 0


def solve_count(study: Study, round_name: str) -> int:
    """Return the largest number of systems that a round solves.

    Besides the numbered rounds there is ``truth``, the synthetic population itself, and
    ``check``, the fresh solves on which the last surrogate is judged. A study that asks for
    evidence has ``fixed``, the broad design that active learning is compared with, and
    ``systems_N``, further populations of N systems.
    """
    learning = study.active_learning
    if round_name == "truth":
        return _synthetic(study).count + _synthetic(study).heldout
    if round_name == "check":
        return study.assessment.surrogate_check
    if round_name == "fixed":
        return max(study.evidence.design_counts, default=0)
    if round_name.startswith("systems_"):
        return int(round_name.removeprefix("systems_")) * study.evidence.repeats
    return learning.first_design if round_name == "0" else learning.solves_per_round


def counts_of_rounds(study: Study) -> dict[str, int]:
    """Return the largest numbers of solves of the numbered rounds and of the check, in order."""
    names = [name for name in rounds_of(study) if name != "truth"]
    return {name: solve_count(study, name) for name in names}


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


def seconds_per_solve(study: Study) -> float:
    """Return the approximate time of a solve, the same on every machine."""
    stated = study.polish.seconds_per_solve
    if stated is not None:
        return float(stated)
    return _OF_BOUND * study.forward.cost().seconds


def rounds_of(study: Study) -> list[str]:
    """Return the names of the rounds of solves that every study of this kind has."""
    numbered = [str(number) for number in range(study.active_learning.rounds)]
    return [*(["truth"] if is_synthetic(study) else []), *numbered, "check"]


def solves_at_once(study: Study) -> bool:
    """Return whether one job draws the parameters of a round, solves and collects them.

    That is so where each round is a single chunk that takes seconds. It depends on the study alone,
    so that results are the same on a workstation and on a cluster. Where nothing is known of the
    time of a solve, the parts are jobs of their own.
    """
    if ranks_of(study) > 1 or study.forward.cost().guess:
        return False
    evidence = ["fixed", *(f"systems_{count}" for count in study.evidence.system_counts)]
    largest = max(solve_count(study, name) for name in (*rounds_of(study), *evidence))
    one_chunk = largest <= study.active_learning.chunk_size
    return one_chunk and largest * seconds_per_solve(study) <= _AT_ONCE_SECONDS


def wants_likelihood(study: Study) -> bool:
    """Return whether the marginal likelihood may be the study's answer."""
    return estimator_wants_likelihood(study.estimator)


def surrogate_thresholds(study: Study) -> dict[str, float]:
    """Return the limits below which a surrogate is good enough.

    The keys are those of `popinv.surrogate.collect.Thresholds`.
    """
    asked = study.active_learning
    return {"error": asked.threshold, "push": asked.answer_threshold}


def calibration_blocks(study: Study) -> int:
    """Return the number of jobs that share the replications for the calibration."""
    return -(-study.evidence.calibration // study.evidence.calibration_block)


def replications_of(study: Study, block: int) -> tuple[int, int]:
    """Return the first replication of a job, and the number of its replications."""
    asked = study.evidence
    first = block * asked.calibration_block
    return first, min(asked.calibration_block, asked.calibration - first)


def evidence_figures(study: Study) -> list[str]:
    """Return the names of the figures of the evidence that a study asks for."""
    asked = {
        "evidence_error_against_systems": study.evidence.system_counts,
        "evidence_designs": study.evidence.design_counts,
        "evidence_calibration": study.evidence.calibration,
    }
    return [figure for figure, wanted in asked.items() if wanted]


def check_results_folder(results: str | os.PathLike[str]) -> None:
    """Stop before any work if the folder of the results is not writable.

    Raises
    ------
    ConfigError
        Naming the folder, and what is in the way.
    """
    folder = Path(results)
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        fault = "leads nowhere" if folder.is_symlink() else "is not a folder"
        raise ConfigError(f"results: {folder} {fault}. Delete it, or name another folder.")
    # On a read-only file system this fails for root too.
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"results: {folder} cannot be written to (a read-only file system, or another's "
            "folder). Make it writable, or name another folder."
        )
