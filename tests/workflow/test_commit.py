"""The commit in the records of the jobs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from popinv.workflow.records import commit_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A committed file, as a module of the package is in a checkout."""
    made = tmp_path / "module.py"
    made.write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "module.py")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return made


def git(folder: Path, *asked: str) -> str:
    command = ["git", "-C", str(folder), *asked]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_names_its_commit(file):
    assert commit_of(file) == git(file.parent, "rev-parse", "HEAD")


def test_a_change_is_told_and_a_new_file_is_none(file):
    (file.parent / "results.json").write_text("{}")
    assert "changes" not in commit_of(file)
    commit_of.cache_clear()
    file.write_text("x = 2\n")
    assert commit_of(file) == f"{git(file.parent, 'rev-parse', 'HEAD')} with changes"


def test_changes_of_measurements_are_none_of_the_code(file):
    measured = file.parent / "data" / "measured.jsonl"
    measured.parent.mkdir()
    measured.write_text("1\n")
    git(file.parent, "add", "data")
    git(file.parent, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "second")
    measured.write_text("1\n2\n")
    assert commit_of(file).endswith("changes")
    assert commit_of(file, "data") == git(file.parent, "rev-parse", "HEAD")
    commit_of.cache_clear()
    file.write_text("x = 2\n")
    assert commit_of(file, "data").endswith("changes")


def test_an_installed_package_has_no_commit_of_the_folder_around_it(file):
    """An environment may lie in another project's checkout, which does not track it."""
    installed = file.parent / "site-packages" / "records.py"
    installed.parent.mkdir()
    installed.write_text("")
    assert commit_of(installed) == ""
