"""What the workflow's rules ask of a checked configuration."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from popinv.config.forward import Forward, ForwardSection
from popinv.errors import ConfigError
from popinv.forward.costs import forward_cost
from popinv.forward.external.files import simulator_hash

__all__ = [
    "calibration_blocks",
    "check_results_folder",
    "chunk_count",
    "evidence_figures",
    "has_sampling_error",
    "has_states",
    "is_synthetic",
    "last_round",
    "ranks_of",
    "refuse_foreign_stores",
    "replications_of",
    "seconds_per_solve",
    "simulator_of",
    "solve_count",
    "surrogate_thresholds",
    "wants_likelihood",
]

# What a solve takes is bounded for the resources of jobs; it takes about a fifth of that.
_OF_BOUND = 0.2


def is_synthetic(study: Mapping[str, Any]) -> bool:
    """Whether the observations are drawn from a known truth."""
    return "truth" in study["observations"]


def simulator_of(study: Mapping[str, Any]) -> str:
    """Return a hash of the files of the user's own simulator; it is constant where there is none.

    Snakemake does not see these files: as a parameter of the rule that solves, the hash repeats
    the solves when they change.
    """
    return simulator_hash(study["forward"])


def has_sampling_error(study: Mapping[str, Any]) -> bool:
    """Whether the sampling error of the forward model is to be measured by repeated solves."""
    if not study["assessment"]["repeats"]:
        return False
    section: ForwardSection = TypeAdapter(Forward).validate_python(study["forward"])
    return section.has_sampling_error()


def has_states(study: Mapping[str, Any]) -> bool:
    """Whether the forward model can show whole states; see `popinv.forward.states`."""
    return find_spec(f"popinv.forward.{study['forward']['kind']}.states") is not None


def last_round(study: Mapping[str, Any]) -> int:
    """Return the number of the last round of active learning; the first is 0."""
    return int(study["active_learning"]["rounds"]) - 1


def ranks_of(study: Mapping[str, Any]) -> int:
    """Return the number of processes that solve each system together."""
    return int(study["forward"].get("ranks", 1))


def solve_count(study: Mapping[str, Any], round_name: str) -> int:
    """Return how many systems a round solves at most.

    Besides the numbered rounds there is ``truth``, the synthetic population itself, and
    ``check``, the fresh solves on which the last surrogate is judged. A study that asks for
    evidence has ``fixed``, the broad design that active learning is compared with, and
    ``systems_N``, further populations of N systems.
    """
    learning, observations = study["active_learning"], study["observations"]
    if round_name == "truth":
        return int(observations["count"] + observations["heldout"])
    if round_name == "check":
        return int(study["assessment"]["surrogate_check"])
    if round_name == "fixed":
        return int(max(study["evidence"]["design_counts"], default=0))
    if round_name.startswith("systems_"):
        return int(round_name.removeprefix("systems_")) * int(study["evidence"]["repeats"])
    return int(learning["first_design"] if round_name == "0" else learning["solves_per_round"])


def chunk_count(study: Mapping[str, Any], round_name: str) -> int:
    """Return the number of chunk jobs of a round."""
    return -(-solve_count(study, round_name) // int(study["active_learning"]["chunk_size"]))


def seconds_per_solve(study: Mapping[str, Any]) -> float:
    """Return about how long a solve takes, the same on every machine."""
    stated = study["polish"]["seconds_per_solve"]
    if stated is not None:
        return float(stated)
    section: ForwardSection = TypeAdapter(Forward).validate_python(study["forward"])
    cost = forward_cost(study["forward"], len(section.parameter_names()))
    return _OF_BOUND * cost.seconds


def wants_likelihood(study: Mapping[str, Any]) -> bool:
    """Whether the marginal likelihood may be the study's answer."""
    return study["estimator"] in ("auto", "likelihood")


def surrogate_thresholds(study: Mapping[str, Any]) -> dict[str, float]:
    """Return what a surrogate that is good enough stays below.

    ``error`` is on fresh solves, in deviations of the noise; ``push`` is that of the answer, in its
    standard errors.
    """
    asked = study["active_learning"]
    return {"error": asked["threshold"], "push": asked["answer_threshold"]}


def calibration_blocks(study: Mapping[str, Any]) -> int:
    """Return the number of jobs among which the replications for the calibration are shared out."""
    asked = study["evidence"]
    return -(-int(asked["calibration"]) // int(asked["calibration_block"]))


def replications_of(study: Mapping[str, Any], block: int) -> tuple[int, int]:
    """Return the first replication of a job, and how many it has."""
    asked = study["evidence"]
    size, first = int(asked["calibration_block"]), block * int(asked["calibration_block"])
    return first, min(size, int(asked["calibration"]) - first)


def evidence_figures(study: Mapping[str, Any]) -> list[str]:
    """Return the names of the figures of the evidence that a study asks for."""
    asked = {
        "evidence_error_against_systems": study["evidence"]["system_counts"],
        "evidence_designs": study["evidence"]["design_counts"],
        "evidence_calibration": study["evidence"]["calibration"],
    }
    return [figure for figure, wanted in asked.items() if wanted]


def check_results_folder(results: str | os.PathLike[str]) -> None:
    """Stop before any work if nothing can be written to the folder of the results.

    Raises
    ------
    ConfigError
        Naming the folder, and what is in the way.
    """
    folder = Path(results)
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        what = "leads nowhere" if folder.is_symlink() else "is no folder"
        raise ConfigError(f"results: {folder} {what}. Delete it, or name another folder.")
    # On a read-only file system this fails for root too.
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"results: {folder} cannot be written to (a read-only file system, or another's "
            "folder). Make it writable, or name another folder."
        )


def refuse_foreign_stores(config: Mapping[str, Any]) -> None:
    """Stop if a study's folder holds results that another configuration has left there.

    Snakemake reruns what a changed configuration touches, but only where it remembers having
    made a file. Results copied from elsewhere, or made before ``.snakemake`` was deleted, it would
    take for its own.

    Raises
    ------
    ConfigError
        Naming the study and its store.
    """
    for name, study in config["studies"].items():
        store = Path(config["results"], name, "observations.zarr")
        file = store / "zarr.json"
        if not file.is_file() or _remembered(str(file)):
            continue
        expected = {key: study[key] for key in ("forward", "law", "noise", "observations")}
        try:
            stored = json.loads(json.loads(file.read_text())["attributes"]["config"])
        except (ValueError, KeyError, TypeError):
            stored = None
        if stored != json.loads(json.dumps(expected)):
            raise ConfigError(
                f"studies.{name}: {store} was written with another configuration, or not by "
                f"popinv at all. Give the study another name, or delete {store.parent}."
            )


def _remembered(path: str) -> bool:
    # Snakemake splits long names into folders; such a path is looked up by its first part.
    metadata, record = Path(".snakemake", "metadata"), urlsafe_b64encode(path.encode()).decode()
    return (metadata / record[:254]).exists() or (metadata / f"@{record[:253]}").exists()
