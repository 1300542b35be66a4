"""The command ``popinv withdraw``: the answer of a study without some of its systems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml
from snakemake.utils import update_config

from popinv.config.loading import load
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError, nearest
from popinv.store.whole_files import write_text

_TOLD = 8


def chosen_study(names: Sequence[str], study: str | None) -> str:
    """Return the name of the study that systems withdraw from.

    Raises
    ------
    ConfigError
        If there is no such study, or if several could be meant.
    """
    if study is None and len(names) > 1:
        raise ConfigError(
            f"the configuration has the studies {', '.join(names)}; say which one: "
            f"--study {names[0]}"
        )
    chosen = names[0] if study is None else study
    if chosen not in names:
        raise ConfigError(
            f"--study: got '{chosen}', allowed: {', '.join(names)}.{nearest(chosen, names)}"
        )
    return chosen


def configured(
    configuration: Path, study: str | None, systems: Sequence[str], rerun: bool
) -> tuple[Path, Path]:
    """Write a configuration with a withdrawal, and return its path and the folder of the results.

    It is written into the folder of the study's results, from which snakemake can run it again.

    Parameters
    ----------
    configuration : path
    study : str, optional
        Not needed where there is one study.
    systems : sequence of str
        Names or numbers. Without any, only the influence of all systems is found.

    Raises
    ------
    ConfigError
        If the configuration with this withdrawal does not pass the checks.
    """
    mapping = read_yaml(configuration)
    chosen = chosen_study(list(load(mapping, str(configuration)).studies), study)
    # A name such as 007 stays what it is.
    named = [int(s) if s.isdecimal() and str(int(s)) == s else s for s in systems]
    asked = {"systems": named, "rerun": rerun}
    update_config(mapping, {"studies": {chosen: {"downstream": {"withdrawal": asked}}}})
    folder = Path(load(mapping, f"{configuration} with this withdrawal").results, chosen)
    written = folder / "withdrawal.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(written, yaml.safe_dump(mapping, sort_keys=False))
    return written, folder / "downstream" / "withdrawal"


def told(folder: Path) -> str:
    """Return what a finished withdrawal found, for a terminal.

    Parameters
    ----------
    folder : path
        The folder of the method's results.
    """
    statement = json.loads((folder / "metrics.json").read_text())["statement"]
    influence, answers = (pd.read_csv(folder / f"{n}.csv") for n in ("influence", "answers"))
    # What is in the header of the file is said below the table.
    answers.columns = [
        str(name).replace(": shift [standard errors]", ", shift") for name in answers
    ]
    short = influence[["system", "size [standard errors]", "steps to forget"]].head(_TOLD)
    parts = [
        answers.to_string(index=False, float_format="%.4g"),
        "A shift is in standard errors of the answer.",
        f"The {len(short)} most influential systems, of {len(influence)}:",
        short.to_string(index=False, float_format="%.2g"),
        f"{statement[0].upper()}{statement[1:]}.",
        f"all systems: {folder / 'influence.csv'}, pictures: {folder / 'figures'}",
    ]
    return "\n\n".join(parts)
