"""The example of docs/predict.md runs, and prints what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import boys
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "predict.md").read_text()


@pytest.mark.full
def test_the_example_of_predictions(tmp_path, monkeypatch):
    data = Path("config/examples/real_data/Oxboys.csv")
    (tmp_path / data).parent.mkdir(parents=True)
    (tmp_path / data).symlink_to(ROOT / data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("popinv.fit", boys.fit_of_page)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/predict.md", "exec"), {})
    assert [line.rstrip() for line in printed.getvalue().splitlines()] == shown.splitlines()
    assert Path("predict.png").stat().st_size > 10_000
