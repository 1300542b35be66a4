"""The example of docs/python.md runs, and prints what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import boys

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()


def test_the_example_of_the_page(tmp_path, monkeypatch):
    data = Path("config/examples/real_data/Oxboys.csv")
    (tmp_path / data).parent.mkdir(parents=True)
    (tmp_path / data).symlink_to(ROOT / data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("popinv.fit", boys.fit_of_page)
    space: dict = {}
    printed = io.StringIO()
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/python.md", "exec"), space)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert [line.rstrip() for line in printed.getvalue().splitlines()] == shown.splitlines()
    assert space["checks"].loc["Noise", "verdict"] == "doubt"
    assert space["names"] == ["posterior", "posterior_predictive", "observed_data"]
    assert Path("law.png").stat().st_size > 10_000
    assert repr(space["again"]).endswith(repr(space["result"]))
