"""The first simulators of new studies: a function, a program and a server, to be replaced.

All three compute the same decaying curve, so that the study runs before it is edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from textwrap import fill

_FILES = {"executable": "program.py", "python": "simulator.py", "umbridge": "server.py"}
OWN = tuple(_FILES)
"""Kinds of the user's own simulators."""

_PYTHON = '''\
"""The simulator: replace what `solve` computes by your own model."""

import numpy as np

PLACES = np.linspace(0, 4, $entries)


def solve(z):
    """Map parameters (n, 2), one system a row, to observations (n, $entries).

    The columns of z are the `parameters` of the configuration, in its order.
    """
    size, rate = z.T
    return size[:, None] * np.exp(-rate[:, None] * PLACES)
'''

_PYTHON_TIMES = '''\
"""The simulator: replace what `solve` computes by your own model."""

import numpy as np

# The first time of the file, and the time from it to the last.
FIRST, SPAN = $first, $span


def solve(z, ${design}times):
    """Map parameters (n, 2), one system a row, to observations (n, $entries).

    The columns of z are the `parameters` of the configuration, in its order. `times` are all
    times of the file, in increasing order$order.
    Where systems have times of their own, they are those of each system, (n, m).
    $known
    """
    size, rate = z.T
    since = (times - FIRST) / SPAN
    curves = size[:, None]$factor * np.exp(-rate[:, None] * since)
    return $curves
'''

_PYTHON_INPUTS = '''\
"""The simulator: replace what `solve` computes by your own model."""

import numpy as np

# The time from the first to the last of the file.
SPAN = $span


def solve(z, times, inputs):
    """Map parameters (n, 2), one system a row, to observations (n, $entries).

    The columns of z are the `parameters` of the configuration, in its order. `times` are all
    times of the file, in increasing order$order.
    Where systems have times of their own, they are those of each system, (n, m).
    `inputs["time"]` and `inputs["amount"]` (n, most doses) are the doses of each system, with
    amounts of zero at the end; with columns RATE and CMT there are `inputs["duration"]` and
    `inputs["compartment"]`.
    """
    size, rate = z.T[..., None, None]
    # A dose acts from its time on: (n, times, doses).
    since = (times[..., None] - inputs["time"][:, None]) / SPAN
    given = np.where(since >= 0, inputs["amount"][:, None], 0.0)
    curves = (size * given * np.exp(-rate * np.maximum(since, 0.0))).sum(axis=2)
    return $curves
'''

_WITH_DESIGN = "With `design: [...]` in the configuration, write solve(z, design, times)."

_PLACES = """\
PLACES = [4 * i / max(1, $entries - 1) for i in range($entries)]
"""

_PROGRAM = '''\
"""The simulator as a program: replace what `solve` computes by your own model.

    python program.py INPUT OUTPUT

INPUT is a CSV file: a line of names, then the parameters of a system in each line. OUTPUT gets the
$entries observations of a system in each line.
"""

import csv
import math
import sys

$places

def solve(size, rate):
    """Return the observations of one system."""
    return [size * math.exp(-rate * place) for place in PLACES]


if __name__ == "__main__":
    given, output = sys.argv[1:]
    with open(given, newline="") as file:
        rows = list(csv.reader(file))[1:]
    with open(output, "w", newline="") as file:
        csv.writer(file).writerows(solve(*map(float, row)) for row in rows)
'''

_SERVER = '''\
"""The simulator behind UM-Bridge: replace what `solve` computes by your own model.

    python server.py [PORT]        # 4242 by default
"""

import math
import sys

import umbridge

$places

def solve(size, rate):
    """Return the observations of one system."""
    return [size * math.exp(-rate * place) for place in PLACES]


class Simulator(umbridge.Model):
    """One input vector, the parameters; one output vector, the observations."""

    def get_input_sizes(self, config):
        """Return the lengths of the input vectors."""
        return [2]

    def get_output_sizes(self, config):
        """Return the lengths of the output vectors."""
        return [$entries]

    def supports_evaluate(self):
        """Return True: the model can be evaluated."""
        return True

    def __call__(self, parameters, config):
        """Return the observations of one system."""
        return [solve(*parameters[0])]


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4242
    umbridge.serve_models([Simulator("forward")], port)
'''


def simulator_file(kind: str, name: str) -> Path:
    """Return the file of a study's own simulator."""
    return Path(name, _FILES[kind])


def simulator_text(
    kind: str,
    entries: int,
    times: Sequence[float],
    labels: Sequence[str],
    dose: str | None = None,
    inputs: bool = False,
) -> str:
    """Return the code of a first simulator.

    Parameters
    ----------
    kind : str
        One of `OWN`.
    entries : int
        Number of observations of a system.
    times : sequence of float
        The times of the observations, empty if they have none.
    labels : sequence of str
        The observed quantities, empty if there is one.
    dose : str, optional
        The dose of each system, if the design of the study has one.
    inputs : bool
        Whether the simulator gets doses over time.

    Examples
    --------
    >>> print(simulator_text("python", 3, [0, 1, 2], []).splitlines()[-1])
        return curves
    """
    count = max(1, len(labels))
    if kind == "python" and times:
        return Template(_PYTHON_INPUTS if inputs else _PYTHON_TIMES).substitute(
            entries=entries,
            first=repr(times[0]),
            span=repr((times[-1] - times[0]) or 1.0),
            order=f", for {labels[0]} and then for {', '.join(labels[1:])}" if count > 1 else "",
            curves=f"np.hstack([curves] * {count})" if count > 1 else "curves",
            design="design, " if dose else "",
            factor=" * design[:, :1]" if dose else "",
            known=f"The column of `design` is the dose, {dose}." if dose else _WITH_DESIGN,
        )
    places = _listed(times, count) if times else Template(_PLACES).substitute(entries=entries)
    text = {"python": _PYTHON, "executable": _PROGRAM, "umbridge": _SERVER}[kind]
    return Template(text).substitute(entries=entries, places=places)


def _listed(times: Sequence[float], count: int) -> str:
    """Return the code of the places on the curve, for times in the file and several quantities."""
    words, margin = ", ".join(map(repr, times)), 4 * " "
    numbers = fill(words, 96, initial_indent=margin, subsequent_indent=margin)
    each = f" * {count}" if count > 1 else ""
    return (
        f"# All times of the file, in increasing order{', for each quantity' if each else ''}.\n"
        f"TIMES = [\n{numbers}\n]{each}\n"
        "PLACES = [(t - TIMES[0]) / max(TIMES[-1] - TIMES[0], 1e-300) for t in TIMES]\n"
    )
