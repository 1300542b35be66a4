"""The files of a new study, ready to run: a configuration and, for an own simulator, a first one.

What is written is small and complete, so that the first run succeeds and every later change can be
compared with it. Nothing that exists is overwritten.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from popinv.config.data_files import check_data_files
from popinv.config.loading import load_file
from popinv.errors import ConfigError
from popinv.observation_files.survey import Survey, survey
from popinv.whole_files import write_text

__all__ = ["KINDS", "OWN", "new_study"]

OWN = "python"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# Where the search for the noise starts: its deviation in shares of the observations' spread, and
# where there are none yet.
_NOISE_SHARE, _NOISE = 0.3, 0.3
# Entries of an observation where no file of observations says how many there are.
_ENTRIES = {"porous_flow": 50, "python": 10}

_HEAD = """\
# Every key is explained in config/README.md; what is left out has the default given there.
#   popinv try {name}.yaml                # a first look, in seconds
#   snakemake --configfile {name}.yaml
#   popinv show results/{name}

seed: 1

studies:
  {name}:
"""

_FORWARD = {
    "porous_flow": """\
    # Pressure of porous flow along a line, seen by sensors at equal distances.
    forward: {{kind: porous_flow, dimension: 1, sensors: {{count: {entries}, placement: regular}}}}
    law:
      kind: matern_field
      smoothness: 2.5
      start: {{mean: 0.0, standard_deviation: 1.0, length: 0.5}}
    noise: {{kind: kernel, start: {{amplitude: {noise}, length: 0.3}}}}
""",
    "elastodynamics": """\
    # An elastic bar, plucked and let go, seen by three sensors over time.
    forward: {{kind: elastodynamics, dimension: 1}}
    law:
      kind: lognormal
      start:
        stiffness: {{mean: 0.3, standard_deviation: 0.3}}
        damping: {{mean: -1.0, standard_deviation: 0.5}}
    noise: {{kind: autoregressive, order: 1}}
""",
    "lorenz96": """\
    # Averages over time of a simple atmosphere, Lorenz-96.
    forward: {{kind: lorenz96, scales: 1, window: 1000}}
    law: {{kind: normal, start: {{forcing: {{mean: 7.0, standard_deviation: 1.5}}}}}}
    noise: {{kind: diagonal, start: {{standard_deviation: [0.1, 2.0, 0.5, 0.5, 0.5, 0.5]}}}}
""",
    OWN: """\
    # Your own simulator: {name}/simulator.py.
    forward:
      kind: python
      function: simulator:solve
      path: {name}
      parameters: [size, rate]
      # Where entries are times: {{name: discharge, units: m3/s, times: [0.5, 1, 2]}}
      observations: {{name: observed, count: {entries}}}
    # Where the search for the law starts: mean and deviation of each parameter's logarithm. They
    # may be off by much; the first solves are spread widely around them.
    law:
      kind: lognormal
      start:
        size: {{mean: 0.0, standard_deviation: 1.0}}
        rate: {{mean: 0.0, standard_deviation: 1.0}}
    noise: {{kind: isotropic, start: {{standard_deviation: {noise}}}}}
""",
}
KINDS = tuple(_FORWARD)

# A truth for each kind: observations are made from it until there are real ones.
_TRUTH = {
    "porous_flow": (
        "{mean: 0.5, standard_deviation: 0.4, length: 0.3}",
        "{amplitude: 0.1, length: 0.05}",
    ),
    "elastodynamics": (
        "{stiffness: {mean: 0.0, standard_deviation: 0.2}, "
        "damping: {mean: -1.5, standard_deviation: 0.4}}",
        "{standard_deviation: 0.1, correlation: 0.6}",
    ),
    "lorenz96": (
        "{forcing: {mean: 8.0, standard_deviation: 0.8}}",
        "{standard_deviation: [0.06, 1.4, 0.33, 0.3, 0.4, 0.4]}",
    ),
    OWN: (
        "{size: {mean: 0.5, standard_deviation: 0.3}, rate: {mean: -0.5, standard_deviation: 0.4}}",
        "{standard_deviation: 0.1}",
    ),
}

_SYNTHETIC = """\
    # Made from a known truth, to see whether it is found again. For real observations write
    #   observations: {{file: my_observations.csv}}
    # a row for each system, a column for each entry of an observation.
    observations:
      count: 1000
      heldout: 500
      truth:
        law: {law}
        noise: {noise}
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


def _observations(file: Path, found: Survey) -> str:
    """Return the section ``observations`` for a file."""
    lines = [f"file: {json.dumps(file.as_posix())}"]
    if found.system_column is not None:
        lines.append(f"system_column: {json.dumps(found.system_column, ensure_ascii=False)}")
    if found.header:
        lines += [
            "# The first line looks like places or times: true leaves it out, false takes it for a",
            "# system.",
            "header: true",
        ]
    if found.missing:
        lines += [
            f"# {found.missing} values are missing. `mask` learns from the others, which is right "
            "where",
            "# absence does not depend on the value; `refuse` stops.",
            "missing: mask",
        ]
    return _FILE + "".join(f"      {line}\n" for line in lines)


def new_study(
    name: str, forward: str, observations: Path | None = None
) -> tuple[list[Path], Survey | None]:
    """Write ``NAME.yaml``, and ``NAME/simulator.py`` for an own simulator, here.

    Parameters
    ----------
    name : str
        Of the study, and so of its folder in the results.
    forward : str
        One of :data:`KINDS`.
    observations : Path, optional
        A file of observations; without it they are made up from a known truth.

    Returns
    -------
    list of Path
        What was written.
    Survey, optional
        What the file of observations was taken to hold.

    Raises
    ------
    ConfigError, DataError
        If a file is there already, the kind is not one of those, the observations cannot be read,
        or the study does not pass the checks of a configuration; nothing is then left behind.
    """
    if forward not in KINDS:
        raise ConfigError(f"forward is '{forward}', allowed: {', '.join(KINDS)}")
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
    entries, found = _ENTRIES.get(forward, 0), None
    if observations is None:
        true_law, true_noise = _TRUTH[forward]
        observed = _SYNTHETIC.format(law=true_law, noise=true_noise)
    else:
        found = survey(observations)
        entries = found.entries
        observed = _observations(observations, found)
    noise = float(f"{_NOISE_SHARE * found.spread:.1g}") if found and found.spread else _NOISE
    forward_text = _FORWARD[forward].format(name=name, entries=entries, noise=noise)
    text = _HEAD.format(name=name) + forward_text
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
    return written, found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the folder cannot be made ({error.strerror})") from None
