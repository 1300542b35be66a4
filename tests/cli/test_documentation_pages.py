"""The documentation as pages: `popinv docs`."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import ran

from popinv.cli.documentation import page_named, write_pages
from popinv.errors import DataError


class Read(HTMLParser):
    """Links, anchors and pictures of a page, and its text without code."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.pictures: list[str] = []
        self.text = ""
        self._code = 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._code += tag in ("code", "pre")
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "img":
            self.pictures.append(given["src"])

    def handle_endtag(self, tag):
        self._code -= tag in ("code", "pre")

    def handle_data(self, data):
        if not self._code:
            self.text += data


def read(file: Path) -> Read:
    page = Read()
    page.feed(file.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_pages(tmp_path_factory.mktemp("site"))


def test_links_and_pictures_of_all_pages_lead_somewhere(site):
    pages = {page: read(page) for page in site}
    for file, page in pages.items():
        for href in page.links:
            if "://" in href or href.startswith("mailto:"):
                continue
            path, _, anchor = href.partition("#")
            there = (file.parent / path).resolve() if path else file
            # Files of a checkout that are no pages, such as an example's configuration.
            if there.suffix != ".html":
                continue
            assert there in pages, f"{file.name}: {href}"
            assert not anchor or anchor in pages[there].anchors, f"{file.name}: {href}"
        for source in page.pictures:
            assert (file.parent / source).exists(), f"{file.name}: {source}"


def test_no_markup_is_left_in_the_text(site):
    for file in site:
        text = read(file).text
        for left in (r"```", r"\{[a-z-]+\}\n", r"\$[^$\n]*\\[a-z]+[^$\n]*\$", r"<!--", r"\|---"):
            assert not re.search(left, text), f"{file.name}: {re.search(left, text)}"


def test_formulas_and_tables_of_measurements_are_rendered(site):
    page = page_named(site, "how_it_works").read_text()
    assert "<math" in page
    table = page_named(site, "how_well_it_works").read_text()
    assert "<td>" in table


@pytest.mark.parametrize("asked", ["theophylline", "studies/theophylline", "docs/data.md"])
def test_a_page_is_found_by_its_name(site, asked):
    assert page_named(site, asked).stem in asked


def test_an_unknown_page_is_refused_with_those_that_are_near(site):
    with pytest.raises(DataError, match=r"no page 'stud'. Pages: .*studies/index"):
        page_named(site, "stud")


@pytest.mark.full
def test_the_command_prints_the_page_and_opens_it(tmp_path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    done = ran("docs", "data", "--to", str(tmp_path))
    assert opened == [(tmp_path / "data.html").resolve().as_uri()]
    assert done.strip() == str((tmp_path / "data.html").resolve())
