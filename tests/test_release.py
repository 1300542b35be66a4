"""What a release states in several files is the same everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Names of packages that differ in conda-forge.
CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}


def recipe() -> dict:
    return yaml.safe_load((ROOT / "setup" / "conda" / "recipe.yaml").read_text())


def test_all_files_state_the_version_of_the_project():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == PROJECT["version"]
    assert recipe()["context"]["version"] == PROJECT["version"]
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == PROJECT["version"]


def test_the_address_stands_in_the_project_and_in_the_recipe_alone():
    address = PROJECT["urls"]["Repository"]
    assert all(url.startswith(address) for url in PROJECT["urls"].values())
    assert recipe()["context"]["address"] == address


def test_the_recipe_requires_what_the_project_does():
    wanted = {"python": PROJECT["requires-python"]}
    for requirement in PROJECT["dependencies"]:
        name, version = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
        wanted[CONDA.get(name, name)] = version
    found = dict(line.split(maxsplit=1) for line in recipe()["requirements"]["run"])
    assert found == wanted
