"""The files of a new study, ready to run: a configuration and, on request, a first simulator.

The study is small and complete, so the first run succeeds and every later change can be compared
with it. Existing files are not overwritten.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from string import Template
from textwrap import indent

from popinv.cli.first_observations import (
    dose_of_systems,
    inputs_of_doses,
    levels_of_law,
    model_observations,
    observations_section,
    plain_observations,
    quoted_name,
)
from popinv.cli.first_simulators import OWN, simulator_file, simulator_text
from popinv.config.data_files import check_data_files
from popinv.config.document import SCHEMA
from popinv.config.loading import load_file
from popinv.config.numerics import Assessment
from popinv.errors import ConfigError
from popinv.forward.examples import example, example_kinds
from popinv.forward.section import forward_section
from popinv.inference.estimators.settings import FEWEST_GROUPS
from popinv.judgement.estimator_judgements import POSTERIOR_BELOW
from popinv.location import project_folder
from popinv.observation_files.columns import Asked, Given, refuse_to_ask
from popinv.observation_files.survey import Survey, survey
from popinv.store.whole_files import write_text

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# The deviation at which the search for the noise starts: as a share of the observations' spread,
# and if there are no observations yet.
_NOISE_SHARE, _NOISE = 0.3, 0.3
# Entries that the first own simulator answers where no file of observations says how many.
_OWN_ENTRIES = 10

_HEAD = """\
{schema}
# 'popinv docs configuration' explains every key; a key that is left out has its default.
#   popinv try {name}.yaml                # a first look, in seconds
#   popinv run {name}.yaml
#   popinv show {name}.yaml

seed: 1

studies:
  {key}:
"""

_SYNTHETIC = """\
    # Drawn from a known truth, to test whether the study recovers it. For real observations write
    #   observations: {file: my_observations.csv}
    # a row for each system, a column for each entry of an observation.
    observations:
      count: 1000
      heldout: 500
      truth:
"""

_ROUNDS = """\
    # Where the simulator is run: broadly first, then where the population seems to be, until the
    # surrogate errs by less than the threshold, in standard deviations of the noise.
    active_learning: {rounds: 3, first_design: 1000, solves_per_round: 500, threshold: 0.05}
"""


_NO_SURROGATE = """\
    # A surrogate would have to learn from all times and amounts: the simulator itself is used.
    surrogate: {kind: none}
"""


_FEW_SOLVES = """\
    # Is the simulator slow? A Gaussian process learns from about 200 solves. Put it in the place of
    # active_learning:
    # surrogate: {kind: gaussian_process}
"""


_FEW_SYSTEMS = """\
    # Intervals of fewer than {below} systems are better by the posterior of law and noise, which
    # takes some minutes more ('popinv docs methods/law_posterior'):
    # downstream: {{law_posterior: {{}}}}
"""


_WHOLE_GROUPS = """\
    # Solves of {groups} whole groups measure the effect of the surrogate's error on the answer.
    assessment: {{surrogate_check: {solves}}}
"""


def new_study(
    name: str,
    forward: str = "python",
    observations: Path | None = None,
    given: Given | None = None,
    ask: Asked = refuse_to_ask,
) -> tuple[list[Path], Survey | None]:
    """Write ``NAME.yaml``, and the code of an own simulator in the folder ``NAME``, here.

    Parameters
    ----------
    name : str
        Name of the study and of its folder in the results.
    forward : str
        One of `popinv.forward.examples.example_kinds`.
    observations : Path, optional
        A file of observations. Without it, observations are made from a known truth.
    given : Given, optional
        What is known of the file's layout and columns.
    ask : callable
        It answers what the file does not decide.

    Returns
    -------
    list of Path
        The files that were written.
    Survey, optional
        The survey of the file of observations.

    Raises
    ------
    ConfigError, DataError
        If a file exists already, the kind is not one of those, the observations cannot be read, or
        the study does not pass the checks of a configuration. No file is then left behind.
    """
    _check_names(name, forward)
    configuration = Path(f"{name}.yaml")
    _check_new(configuration)
    surveyed = None if observations is None else survey(observations, given, ask)
    own = forward in OWN
    if surveyed and surveyed.long and not own:
        raise ConfigError(
            f"{observations} is a long table, whose times an own simulator takes from the file: "
            f"--forward {', '.join(OWN)}; got {forward}. If each of its rows is a system, state "
            "--layout wide."
        )
    first, simulator = example(forward), simulator_file(forward, name) if own else None
    if simulator:
        _check_new(simulator)
    dose, inputs = None, False
    if surveyed is None or observations is None:
        entries = _OWN_ENTRIES if own else forward_section({"kind": forward}).observation_count()
        observed = _SYNTHETIC + indent(first.truth, 8 * " ")
        described = plain_observations(entries)
    else:
        entries = surveyed.entries
        observed = _lines(observations_section(observations, surveyed), 4)
        dose = dose_of_systems(surveyed) if forward == "python" else None
        # A program gets them, too, but in columns that the first program does not have.
        inputs = forward == "python" and surveyed.doses_over_time
        inputs &= bool(inputs_of_doses(observations, surveyed, used=True))
        described = model_observations(observations, surveyed, dose, inputs)
    spread = surveyed.spread if surveyed else None
    size = surveyed.size if surveyed else 1.0
    if (dose or inputs) and surveyed and surveyed.dose and surveyed.dose[1] > 0:
        # The first simulator multiplies by the dose.
        size /= surveyed.dose[1]
    study = Template(first.study).substitute(
        name=name,
        folder=quoted_name(name),
        entries=entries,
        observed=_lines(described, 2).rstrip(),
        noise=float(f"{_NOISE_SHARE * spread:.1g}") if spread else _NOISE,
        size=f"{math.log(size) if size else 0.0:.1f}",
    )
    if surveyed and (levels := levels_of_law(surveyed, ["size", "rate"])):
        study = study.replace("\nnoise:", "\n" + _lines(levels, 2).rstrip() + "\nnoise:", 1)
    texts = {}
    if simulator:
        times, labels = (surveyed.times, surveyed.labels) if surveyed else ((), ())
        texts[simulator] = simulator_text(forward, entries, times, labels, dose, inputs)
    texts[configuration] = (
        _HEAD.format(name=name, key=quoted_name(name), schema=_schema())
        + indent(study, 4 * " ")
        + observed
        + (_NO_SURROGATE if inputs else _ROUNDS)
    )
    wanted = FEWEST_GROUPS * (surveyed.members if surveyed else 1)
    if not inputs and wanted > Assessment().surrogate_check:
        texts[configuration] += _WHOLE_GROUPS.format(groups=FEWEST_GROUPS, solves=wanted)
    if own and not inputs:
        texts[configuration] += _FEW_SOLVES
    # Crossed levels are one system, of many labels.
    layout = surveyed.layout if surveyed else None
    if surveyed and surveyed.systems < POSTERIOR_BELOW and not (layout and layout.crossed):
        texts[configuration] += _FEW_SYSTEMS.format(below=POSTERIOR_BELOW)
    return _written(texts, configuration), surveyed


def _check_names(name: str, forward: str) -> None:
    if forward not in example_kinds():
        raise ConfigError(f"forward is '{forward}', allowed: {', '.join(example_kinds())}")
    if not _NAME.fullmatch(name):
        other = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")
        raise ConfigError(
            f"the name is '{name}'; allowed are letters, digits, - and _, beginning with a letter: "
            "it names a file, a folder and the study."
            + (f" Take {other}?" if _NAME.fullmatch(other) else "")
        )


def _check_new(path: Path) -> None:
    if path.exists():
        raise ConfigError(f"{path} is there already; choose another name, or move it away")


def _lines(lines: list[str], margin: int) -> str:
    return indent("".join(f"{line}\n" for line in lines), margin * " ")


def _schema() -> str:
    """Return the comment by which editors know the keys: the schema of this installation."""
    file, here = project_folder() / SCHEMA, Path.cwd()
    # Editors end the name at the first blank.
    near = file.is_relative_to(here) and not re.search(r"\s", str(file.relative_to(here)))
    place = file.relative_to(here).as_posix() if near else file.as_uri()
    return f"# yaml-language-server: $schema={place}"


def _written(texts: dict[Path, str], configuration: Path) -> list[Path]:
    """Write files and check the configuration; leave nothing behind if it does not pass."""
    written: list[Path] = []
    try:
        for path, text in texts.items():
            _make_folder(path.parent)
            write_text(path, text)
            written.append(path)
        check_data_files(load_file(configuration))
    except BaseException:
        for path in written:
            path.unlink()
        for folder in {path.parent for path in texts} - {Path()}:
            if folder.is_dir() and not os.listdir(folder):
                folder.rmdir()
        raise
    return written


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the folder cannot be made ({error.strerror})") from None
