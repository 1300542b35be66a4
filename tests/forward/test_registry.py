"""Forward models of other packages: found by entry points, and not needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
STUDY = """
studies:
  flow:
    forward: {kind: porous_flow}
    observations:
      truth:
        law: {mean: 0.5, standard_deviation: 0.6, length: 0.3}
        noise: {amplitude: 0.1, length: 0.1}
"""
# The tool alone, as if no other package of models were installed.
ALONE = f"""
import importlib.metadata, sys
found = importlib.metadata.entry_points
importlib.metadata.entry_points = (
    lambda group: () if group == "popinv.models" else found(group=group)
)
import popinv.cli.commands
from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.forward.kinds import KINDS
from popinv.forward.section import forward_section
given = {yaml.safe_load(STUDY)!r}
for refusing, refused in ((load, given), (forward_section, {{"kind": "lorenz96"}})):
    try:
        refusing(refused)
    except ConfigError as error:
        print(error)
print(KINDS, [name for name in sys.modules if name.startswith("popinv_models")])
"""


def test_the_tool_works_without_other_packages_of_models():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'got "porous_flow", but it must be one of: executable, python, umbridge' in done.stdout
    assert "no forward model of kind 'lorenz96'; the kinds are executable, python" in done.stdout
    assert done.stdout.endswith("('executable', 'python', 'umbridge') []\n")
