"""Table of a comparison of models, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popinv.cli.show_numbers import aligned, wrapped
from popinv.config.loading import load_file
from popinv.errors import DataError
from popinv.judgement.comparison import explained, rows_of
from popinv.judgement.files import read_metrics


def comparison_lines(name: str, comparison: Mapping[str, Any]) -> list[str]:
    """Return the table of a comparison, and what its numbers are.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.model_comparison.compare`.
    """
    count, systems = len(comparison["models"]), comparison["systems"]
    heading = f"{name}: {count} models of the same {systems} systems"
    told = [line for text in explained(comparison) for line in wrapped(text)]
    return [heading, "-" * len(heading), *aligned(rows_of(comparison)), "", *told]


def comparisons_of(configuration: str | Path) -> str:
    """Return the tables of all comparisons of a configuration, whose jobs have run.

    Raises
    ------
    ConfigError
        If the configuration does not pass the checks.
    DataError
        If it has no comparison, or one has not run yet.
    """
    config = load_file(configuration)
    if not config.comparisons:
        raise DataError(
            f"{configuration}: compares no models. Name studies of the same observations there, "
            f"such as 'comparisons: {{models: [{', '.join(list(config.studies)[:2])}]}}', and run "
            f"snakemake --configfile {configuration}"
        )
    blocks = []
    for name in config.comparisons:
        file = Path(config.results, "comparisons", name, "comparison.json")
        if not file.exists():
            raise DataError(
                f"{file}: there is no such file yet. Run snakemake --configfile {configuration}"
            )
        blocks.append("\n".join(comparison_lines(name, read_metrics(file))))
    return "\n\n".join(blocks)
