"""What the workflow's rules ask of a checked configuration."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popinv.errors import ConfigError

__all__ = [
    "FIGURES",
    "chunk_count",
    "forward_modules",
    "is_synthetic",
    "last_round",
    "refuse_foreign_stores",
    "solve_count",
]

FIGURES = (
    "observations",
    "law",
    "noise_covariance",
    "descent",
    "surrogate_error",
    "solver_calls",
)


def is_synthetic(study: Mapping[str, Any]) -> bool:
    """Whether the observations are drawn from a known truth."""
    return "truth" in study["observations"]


def forward_modules(forward: Mapping[str, Any], solves: bool = False) -> tuple[str, ...]:
    """Return the modules that a forward model brings to a stage, for the fingerprint of its code.

    Every stage reads the model's description; only those that solve need the solver.
    """
    package = f"popinv.forward.{forward['kind']}"
    return (f"{package}.description", *([f"{package}.model"] if solves else []))


def last_round(study: Mapping[str, Any]) -> int:
    """Return the number of the last round of active learning; the first is 0."""
    return int(study["active_learning"]["rounds"]) - 1


def solve_count(study: Mapping[str, Any], round_name: str) -> int:
    """Return how many systems a round solves at most.

    Besides the numbered rounds there is ``truth``, the synthetic population itself, and
    ``check``, the fresh solves on which the last surrogate is judged.
    """
    learning, observations = study["active_learning"], study["observations"]
    if round_name == "truth":
        return int(observations["count"] + observations["heldout"])
    if round_name == "check":
        return int(study["assessment"]["surrogate_check"])
    return int(learning["first_design"] if round_name == "0" else learning["solves_per_round"])


def chunk_count(study: Mapping[str, Any], round_name: str) -> int:
    """Return the number of chunk jobs of a round."""
    return -(-solve_count(study, round_name) // int(study["active_learning"]["chunk_size"]))


def refuse_foreign_stores(config: Mapping[str, Any], metadata: str = ".snakemake/metadata") -> None:
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
        if not file.is_file() or _remembered(str(file), metadata):
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


def _remembered(path: str, metadata: str) -> bool:
    # Snakemake splits long names into folders; such a path is looked up by its first part.
    record = urlsafe_b64encode(path.encode()).decode()
    return (Path(metadata) / record[:254]).exists() or (
        Path(metadata) / f"@{record[:253]}"
    ).exists()
