"""The command ``popinv add``: systems that join a finished study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from popinv.additions.further_places import at_further_places
from popinv.additions.joined import not_by_likelihood, read_additions
from popinv.cli.programs import program
from popinv.cli.withdraw import chosen_study
from popinv.config.loading import load
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError, DataError
from popinv.judgement.files import METRICS_FILE
from popinv.observation_files.section import FileObservations
from popinv.population.model import Model
from popinv.store import storage
from popinv.store.whole_files import write_text

_KEY = "additions"


@dataclass(frozen=True)
class Addition:
    """A file of systems that joins a study.

    Attributes
    ----------
    configuration : path
    before, after : str
        The text of the configuration without and with the file.
    batch : path
        The comparison of the added systems with the population, after the run.
    study : str
        Its name.
    """

    configuration: Path
    before: str
    after: str
    batch: Path
    study: str

    def write(self) -> None:
        """Write the configuration with the file."""
        write_text(self.configuration, self.after)

    def take_back(self) -> None:
        """Write the configuration as it was, if nobody has changed it since."""
        if self.configuration.read_text(encoding="utf-8") == self.after:
            write_text(self.configuration, self.before)


def checked_addition(
    configuration: Path, file: str, study: str | None, inputs: str | None = None
) -> Addition:
    """Return the addition of a file to a study, after all checks that need no computation.

    Parameters
    ----------
    inputs : str, optional
        Table of the inputs over time of the systems, if the file does not hold them.

    Raises
    ------
    ConfigError, DataError
        If the study is not finished, takes no systems, or the file does not fit it.
    """
    mapping = read_yaml(configuration)
    config = load(mapping, str(configuration))
    name = chosen_study(list(config.studies), study)
    own = config.studies[name]
    section = own.observations
    if not isinstance(section, FileObservations):
        raise ConfigError(
            f"{configuration}: the observations of '{name}' are drawn from a known truth; systems "
            "are added to observations of a file. Raise 'observations.count' instead."
        )
    folder = Path(config.results, name)
    if not (folder / METRICS_FILE).is_file() or not (folder / "population.zarr.zip").is_file():
        raise DataError(
            f"{folder}: the study '{name}' has no finished results to go on from; run it first: "
            f"{program('popinv')} run {configuration}"
        )
    estimator = storage.attributes_of(folder / "population.zarr.zip")["estimator"]
    if estimator != "likelihood":
        raise DataError(not_by_likelihood(file, str(estimator)))
    count = len(own.additions())
    _refuse_again(configuration, file, section, folder / "additions")
    place = folder / "additions" / str(count) if count else folder
    seed = config.seed if own.seed is None else own.seed
    entry: Any = file if inputs is None else {"file": file, "inputs": inputs}
    wider = own.replace(observations=section.replace(additions=[*section.additions, entry]))
    model = Model(wider.joined().forward, own.law, own.noise)
    observations = storage.load(place / "observations.zarr.zip")
    observations = at_further_places(model, observations, file, seed=seed)
    read_additions(model, section, observations, file, seed=seed, inputs=inputs)
    before = configuration.read_text(encoding="utf-8")
    after = with_addition(before, name, entry)
    wanted: Any = yaml.safe_load(before)
    # Not in place: studies that share their observations by an anchor would all change.
    of_study = wanted["studies"][name]
    keys = of_study["observations"]
    keys = {**keys, _KEY: [*(keys.get(_KEY) or []), entry]}
    wanted["studies"][name] = {**of_study, "observations": keys}
    if after is None or yaml.safe_load(after) != wanted:
        raise ConfigError(
            f"{configuration}: the line for '{file}' cannot be written among the keys of "
            f"'studies.{name}.observations'; write it yourself, and run the study: "
            f"{_KEY}: {[*section.additions, entry]}"
        )
    load(yaml.safe_load(after), f"{configuration} with {file}")
    batch = folder / "additions" / str(count + 1) / "batch.zarr.zip"
    return Addition(configuration, before, after, batch, name)


def _refuse_again(
    configuration: Path, file: str, section: FileObservations, additions: Path
) -> None:
    """Refuse a file that the study names already, whether or not its systems are in the answer."""
    names = [section.file, *(each.file for each in section.added())]
    if file not in names:
        return
    number = names.index(file)
    if number and not (additions / str(number) / "batch.zarr.zip").is_file():
        raise ConfigError(
            f"{configuration}: '{file}' is in 'additions' already, but its systems are not yet in "
            f"the answer. Go on: {program('popinv')} run {configuration}"
        )
    raise ConfigError(f"{configuration}: '{file}' is in the study already")


def with_addition(text: str, study: str, entry: str | Mapping[str, str]) -> str | None:
    """Return the text of a configuration with a further file of a study, its comments kept.

    None if the study's observations are not written out in the text.

    Parameters
    ----------
    entry : str or mapping
        An entry of ``observations.additions``.

    Examples
    --------
    >>> print(with_addition("studies: {a: {observations: {file: b.csv}}}", "a", "c.csv"))
    studies: {a: {observations: {file: b.csv, additions: [c.csv]}}}
    """
    node: yaml.Node | None = yaml.compose(text)
    for key in ("studies", study, "observations"):
        node = _value(node, key)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        return None
    told = (
        yaml.safe_dump(entry, default_flow_style=True, width=math.inf)
        .removesuffix("\n...\n")
        .strip()
    )
    there = _value(node, _KEY)
    if there is None or not getattr(there, "value", None):
        if there is not None:
            start, end = there.start_mark.index, there.end_mark.index
            return f"{text[:start]}[{told}]{text[end:]}"
        first, last = node.value[0][0], node.value[-1][1]
        if node.flow_style:
            at = last.end_mark.index
            return f"{text[:at]}, {_KEY}: [{told}]{text[at:]}"
        at = _end_of_line(text, _file_end(node))
        return f"{text[:at]}\n{' ' * first.start_mark.column}{_KEY}: [{told}]{text[at:]}"
    if not isinstance(there, yaml.SequenceNode):
        return None
    last = there.value[-1]
    if there.flow_style:
        at = last.end_mark.index
        return f"{text[:at]}, {told}{text[at:]}"
    at = _end_of_line(text, last.end_mark.index)
    indent = " " * there.start_mark.column
    return f"{text[:at]}\n{indent}- {told}{text[at:]}"


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _file_end(node: yaml.MappingNode) -> int:
    """Return where the value of the key ``file`` ends."""
    file = _value(node, "file")
    return int((file or node.value[0][1]).end_mark.index)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def told(addition: Addition) -> str:
    """Return what a finished addition found, for a terminal."""
    batch = storage.load(addition.batch)
    statement = str(batch.attrs["statement"])
    table = batch[["population", "batch", "shift"]].to_dataframe()
    table.columns = ["earlier systems", "added systems", "shift of the answer"]
    lines = [
        table.to_string(float_format="%.4g"),
        "The shift is in standard errors of the answer."
        + ("" if batch.attrs["own_maximum"] else " The added systems' values are to first order."),
        f"{statement[0].upper()}{statement[1:]}.",
        f"picture: {addition.batch.with_suffix('').with_suffix('.png')}",
    ]
    return "\n\n".join(lines)
