"""Which tests a change concerns, in a small repository."""

from __future__ import annotations

import subprocess

import pytest
import reach

SOURCES = {
    "popinv/low.py": "SIZE = 1\n\ndef double(x):\n    return 2 * x\n",
    "popinv/high.py": "from popinv.low import SIZE\n\ndef size():\n    return SIZE\n",
    "popinv/kernel.py": "@njit\ndef fast(x):\n    return x\n",
    "popinv/solver.py": "from popinv.kernel import fast\n\ndef solve(x):\n    return fast(x)\n",
    "popinv/part/program.py": 'if __name__ == "__main__":\n    print(1)\n',
    "popinv/part/start.py": "def start():\n    return 1\n",
}
TESTS = {
    "tests/test_low.py": "import helper\n",
    "tests/test_high.py": "",
    "tests/test_solver.py": "",
    "tests/test_part.py": "",
    "tests/test_runs.py": "subprocess.run\n",
    "tests/helper.py": "",
}
ENTERS = {
    "tests/test_low.py": ["popinv/low.py"],
    "tests/test_high.py": ["popinv/high.py"],
    "tests/test_solver.py": ["popinv/solver.py"],
    "tests/test_part.py": ["popinv/part/start.py"],
    "tests/test_runs.py": [],
}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a repository with a commit, whose tests are recorded."""
    files = {f"src/{name}": text for name, text in SOURCES.items()} | TESTS
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(reach, "ROOT", tmp_path)
    monkeypatch.setattr(reach, "RECORD", tmp_path / "tests/record.json")
    record = {n: {"seconds": 1.0, "full": "", "enters": each} for n, each in ENTERS.items()}
    reach._write(record)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "before", "after", "wanted"),
    [
        ("src/popinv/low.py", "2 * x", "3 * x", {"low", "runs"}),
        ("src/popinv/low.py", "SIZE = 1", "SIZE = 2", {"low", "high", "runs"}),
        ("src/popinv/kernel.py", "return x", "return -x", {"solver", "runs"}),
        ("src/popinv/part/program.py", "print(1)", "print(2)", {"part", "runs"}),
        ("tests/helper.py", "", "x = 1", {"low"}),
        ("tests/test_high.py", "", "x = 1", {"high"}),
        ("tests/test_new.py", "", "x = 1", {"new"}),
        ("docs/page.md", "", "words", set()),
        ("workflow/rules/common.smk", "", "rule all:", {"runs"}),
    ],
)
def test_a_change_concerns_who_enters_it(repository, file, before, after, wanted):
    path = repository / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.read_text().replace(before, after) if before else after)
    tests = {str(each.relative_to(repository)) for each in repository.glob("tests/test_*.py")}
    found = reach.concerned("HEAD", tests)
    assert found == {f"tests/test_{name}.py" for name in wanted}


def test_the_full_tier_runs_again_where_it_has_passed_before_a_change(repository):
    low, high, part = (f"tests/test_{name}.py" for name in ("low", "high", "part"))
    reach.note_full_tier([low, high, "tests/test_unknown.py"])
    assert reach.concerned_in_full([low, high, part]) == set()
    for name in ("popinv/low.py", "popinv/part/start.py"):
        (repository / "src" / name).write_text("def double(x):\n    return 3 * x\n")
    assert reach.concerned_in_full([low, high, part]) == {low, high}
    # What is not committed has passed nowhere.
    reach.note_full_tier([part])
    assert reach.read()[part]["full"] == ""
