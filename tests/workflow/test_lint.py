"""What Snakemake's own linter says of the workflow."""

from __future__ import annotations

import os
import re
from pathlib import Path

import preloaded

ROOT = Path(__file__).parents[2]
# A rule stands beside the functions that only it uses. There is one environment for all rules.
NOT_FOLLOWED = {
    "Mixed rules and functions in same snakefile.",
    "Specify a conda environment or container for each rule.",
}


def test_its_rules_are_followed_where_they_make_sense():
    done = preloaded.run(["-m", "snakemake", "--lint"], ROOT, {**os.environ}, together=True)
    said = set(re.findall(r"^    \* (.*?):$", done.stdout, re.MULTILINE))
    # The linter has run and found what it always finds.
    assert said == NOT_FOLLOWED, done.stdout
