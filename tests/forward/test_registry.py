"""Forward models of other packages: found by entry points, and not needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("nowhere:HOUSE", "broken = nowhere:HOUSE' of the group popinv.models cannot be imported"),
        ("popinv.errors:ConfigError", "must be a ModelHouse of popinv.forward.house"),
        (
            "house:COPY",
            "two forward models are called 'python': popinv.forward.python and house.python",
        ),
    ],
)
def test_an_entry_point_that_names_no_models_is_named(tmp_path, value, told):
    (tmp_path / "house.py").write_text(
        "from popinv.forward.house import ModelHouse\nCOPY = ModelHouse('house', ('python',))\n"
    )
    described = tmp_path / "broken-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[popinv.models]\nbroken = {value}\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    command = [sys.executable, "-c", "import popinv.forward.registry"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
