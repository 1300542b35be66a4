"""The files of a new study, ready to run: a configuration and, if asked for, a first simulator.

The study is small and complete, so the first run succeeds and every later change can be compared
with it. Existing files are not overwritten.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from string import Template
from textwrap import indent

from popinv.config.data_files import check_data_files
from popinv.config.loading import load_file
from popinv.errors import ConfigError
from popinv.forward.examples import example, example_kinds
from popinv.forward.section import forward_section
from popinv.observation_files.survey import Survey, survey
from popinv.store.whole_files import write_text

__all__ = ["OWN", "new_study"]

OWN = "python"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# The deviation at which the search for the noise starts: as a share of the observations' spread,
# and if there are no observations yet.
_NOISE_SHARE, _NOISE = 0.3, 0.3
# Entries that the first own simulator answers where no file of observations says how many.
_OWN_ENTRIES = 10

_HEAD = """\
# Every key is explained in config/README.md; what is left out has the default given there.
#   popinv try {name}.yaml                # a first look, in seconds
#   snakemake --configfile {name}.yaml
#   popinv show results/{name}

seed: 1

studies:
  {name}:
"""

_SYNTHETIC = """\
    # Made from a known truth, to see whether it is found again. For real observations write
    #   observations: {file: my_observations.csv}
    # a row for each system, a column for each entry of an observation.
    observations:
      count: 1000
      heldout: 500
      truth:
"""

_FILE = """\
    # A row for each system, a column for each entry of an observation.
    observations:
"""

_ROUNDS = """\
    # Where the simulator is run: broadly first, then where the population seems to be, until the
    # surrogate errs by less than the threshold, in standard deviations of the noise.
    active_learning: {rounds: 3, first_design: 1000, solves_per_round: 500, threshold: 0.05}
"""

_SIMULATOR = '''\
"""The simulator: replace what `solve` computes by your own model."""

import numpy as np

PLACES = np.linspace(0, 4, {entries})


def solve(z):
    """Map parameters (n, 2), one system a row, to observations (n, {entries}).

    The columns of z are the `parameters` of the configuration, in its order.
    """
    size, rate = z.T
    return size[:, None] * np.exp(-rate[:, None] * PLACES)
'''


def _observations(file: Path, surveyed: Survey) -> str:
    """Return the section ``observations`` for a file."""
    lines = [f"file: {json.dumps(file.as_posix())}"]
    if surveyed.system_column is not None:
        lines.append(f"system_column: {json.dumps(surveyed.system_column, ensure_ascii=False)}")
    if surveyed.header:
        lines += [
            "# The first line looks like places or times: true leaves it out, false takes it for a",
            "# system.",
            "header: true",
        ]
    if surveyed.missing:
        lines += [
            f"# {surveyed.missing} values are missing. `mask` learns from the others, which is "
            "right where",
            "# absence does not depend on the value; `refuse` stops.",
            "missing: mask",
        ]
    return _FILE + "".join(f"      {line}\n" for line in lines)


def new_study(
    name: str, forward: str, observations: Path | None = None
) -> tuple[list[Path], Survey | None]:
    """Write ``NAME.yaml``, and ``NAME/simulator.py`` for an own simulator, in this folder.

    Parameters
    ----------
    name : str
        Name of the study and of its folder in the results.
    forward : str
        One of `popinv.forward.examples.example_kinds`.
    observations : Path, optional
        A file of observations. Without it, observations are made from a known truth.

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
    if forward not in example_kinds():
        raise ConfigError(f"forward is '{forward}', allowed: {', '.join(example_kinds())}")
    if not _NAME.fullmatch(name):
        other = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")
        raise ConfigError(
            f"the name is '{name}'; allowed are letters, digits, - and _, beginning with a letter: "
            "it names a file, a folder and the study."
            + (f" Take {other}?" if _NAME.fullmatch(other) else "")
        )
    own = forward == OWN
    configuration, simulator = Path(f"{name}.yaml"), Path(name, "simulator.py")
    for path in (configuration, simulator) if own else (configuration,):
        if path.exists():
            raise ConfigError(f"{path} is there already; choose another name, or move it away")
    first, surveyed = example(forward), None
    if observations is None:
        entries = _OWN_ENTRIES if own else forward_section({"kind": forward}).observation_count()
        observed = _SYNTHETIC + indent(first.truth, 8 * " ")
    else:
        surveyed = survey(observations)
        entries = surveyed.entries
        observed = _observations(observations, surveyed)
    spread = surveyed.spread if surveyed else None
    noise = float(f"{_NOISE_SHARE * spread:.1g}") if spread else _NOISE
    study = Template(first.study).substitute(name=name, entries=entries, noise=noise)
    text = _HEAD.format(name=name) + indent(study, 4 * " ")
    written: list[Path] = []
    try:
        if own:
            _make_folder(simulator.parent)
            write_text(simulator, _SIMULATOR.format(entries=entries))
            written.append(simulator)
        write_text(configuration, text + observed + _ROUNDS)
        written.append(configuration)
        check_data_files(load_file(configuration))
    except BaseException:
        for path in written:
            path.unlink()
        if own and simulator.parent.is_dir() and not os.listdir(simulator.parent):
            simulator.parent.rmdir()
        raise
    return written, surveyed


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the folder cannot be made ({error.strerror})") from None
