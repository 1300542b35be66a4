"""Set-ups that run at the same time: two of one checkout, and one of another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# It installs two environments, which takes minutes.
pytestmark = pytest.mark.full


def test_set_ups_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    checkouts = [tmp_path / name for name in ("one", "two")]
    for checkout in checkouts:
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        # The script of this tree, committed or not.
        (checkout / "setup/install.sh").write_bytes((ROOT / "setup/install.sh").read_bytes())
    one, two = checkouts
    running = [
        subprocess.Popen(
            ["bash", "setup/install.sh"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in (one, one, two)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], "\n\n".join(said)
    # Of those of one checkout either may be first; the other waits, and finds everything done.
    waited = ["the other one has done everything" in text for text in said[:2]]
    assert sorted(waited) == [False, True], "\n\n".join(said[:2])
    assert sum("packages, in" in text for text in said[:2]) == 1
    for checkout in checkouts:
        again = ["bash", "setup/install.sh", "--check"]
        assert subprocess.run(again, cwd=checkout, check=False).returncode == 0
        doctor = [checkout / ".venv/bin/python", "-m", "popinv.cli.doctor", "--quiet"]
        assert subprocess.run(doctor, cwd=tmp_path, check=False).returncode == 0
