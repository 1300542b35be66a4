"""What Snakemake's own linter says of the workflow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A rule stands beside the functions that only it uses. There is one environment for all rules.
NOT_FOLLOWED = {
    "Mixed rules and functions in same snakefile.",
    "Specify a conda environment or container for each rule.",
}


def test_its_rules_are_followed_where_they_make_sense():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = set(re.findall(r"^    \* (.*?):$", done.stdout, re.MULTILINE))
    # The linter has run and found what it always finds.
    assert said == NOT_FOLLOWED, done.stdout
