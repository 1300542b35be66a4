"""The documentation: `popinv docs`."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ran

from popinv.cli.documentation import page_named
from popinv.errors import DataError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a built site, which the command finds."""
    monkeypatch.setattr("popinv.cli.documentation.project_folder", lambda: tmp_path)
    folder = tmp_path / "build" / "site"
    for name in ("index", "data", "studies/index", "studies/data", "_modules/data"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.html").write_text("")
    return folder


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("index", "index"),
        ("docs/data.md", "data"),
        ("studies", "studies/index"),
        ("studies/data", "studies/data"),
    ],
)
def test_a_page_is_found_by_its_name(site, asked, name):
    assert page_named(site, asked) == site / f"{name}.html"


def test_an_unknown_page_is_refused_with_those_that_are_near(site):
    with pytest.raises(DataError, match=r"no page 'stud'\. Pages: studies/data, studies/index$"):
        page_named(site, "stud")


def test_the_command_prints_the_page_and_opens_it(site, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert ran("docs", "data").strip() == str(site / "data.html")
    assert opened == [(site / "data.html").as_uri()]
    ran("docs", "--no-browser")
    assert len(opened) == 1
    assert "no page 'dada'" in ran("docs", "dada", code=1)


def test_without_a_site_the_command_says_where_to_read(tmp_path, monkeypatch):
    monkeypatch.setattr("popinv.cli.documentation.project_folder", lambda: tmp_path)
    told = ran("docs").strip()
    assert told.startswith("The documentation is at https://")
    assert "make docs" not in told
    (tmp_path / "Makefile").touch()
    assert ran("docs").strip() == f"{told}; 'make docs' in {tmp_path} builds it here"
