"""The documentation as pages for a browser: ``popinv docs``.

The pages are written in Markdown with the directives of MyST, of which those that they use are
rendered here. The site of ``make docs`` is made from the same files by Sphinx, and has the
reference of the functions and the output of the notebooks, too.
"""

from __future__ import annotations

import csv
import html
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from popinv import __version__
from popinv.errors import DataError
from popinv.location import project_folder

_TEMPLATES = Path(__file__).parents[1] / "report" / "templates"
_OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
_CAPTION = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def source_folder() -> Path:
    """Return the folder of the Markdown files, in a checkout or in the installed package."""
    return project_folder() / "docs"


def write_pages(into: Path, source: Path | None = None) -> list[Path]:
    """Render all pages into a folder, and return the files, ``index.html`` first.

    Parameters
    ----------
    into : Path
        It is made if it is not there. What it holds otherwise stays.
    source : Path, optional
        The folder of the Markdown files.
    """
    folder = source_folder() if source is None else source
    site = _Site(folder)
    shutil.copytree(folder / "pictures", into / "pictures", dirs_exist_ok=True)
    shutil.copy(_TEMPLATES / "style.css", into / "style.css")
    written = []
    for name in site.names:
        file = into / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(site.page(name), encoding="utf-8")
        written.append(file)
    return sorted(written, key=lambda file: file != into / "index.html")


def page_named(pages: list[Path], asked: str) -> Path:
    """Return the page with a name, such as ``data`` or ``studies/theophylline``.

    Raises
    ------
    DataError
        If there is none. The message lists the names that are near.
    """
    root = pages[0].parent
    names = {str(page.relative_to(root).with_suffix("")): page for page in pages}
    wanted = asked.removeprefix("docs/").removesuffix(".md").removesuffix(".html")
    found = [name for name in names if wanted in (name, name.rpartition("/")[2])]
    if not found:
        near = sorted(name for name in names if wanted in name) or sorted(names)
        raise DataError(f"there is no page '{asked}'. Pages: {', '.join(near)}")
    return names[found[0]]


class _Site:
    """The pages of a folder of Markdown files, which link to each other.

    Attributes
    ----------
    names : list of str
        Names of the pages, without a suffix.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = [*folder.rglob("*.md"), *folder.rglob("*.ipynb")]
        self.names = sorted(str(file.relative_to(folder).with_suffix("")) for file in files)
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True
        )
        self._template = environment.get_template("documentation.html")
        self._tables = _tables_of(folder)
        self._sources = {name: self._source(name) for name in self.names}
        self._parts = list(self._navigation())

    def page(self, name: str) -> str:
        """Return a page as HTML."""
        up = "../" * name.count("/")
        # The first page has the navigation of all pages.
        parts = [
            (caption, [(f"{up}{n}.html", t) for n, t in pages]) for caption, pages in self._parts
        ]
        return self._template.render(
            title=self.title(name),
            body=self._body(name),
            parts=parts,
            home=f"{up}index.html",
            style=f"{up}style.css",
            here=f"{up}{name}.html",
            version=__version__,
        )

    def title(self, name: str) -> str:
        """Return the title of a page."""
        found = _TITLE.search(self._sources[name])
        return found[1] if found else name.rpartition("/")[2].replace("_", " ").capitalize()

    def _source(self, name: str) -> str:
        file = self.folder / f"{name}.md"
        if file.exists():
            return self._with_includes(file)
        return _of_notebook(self.folder / f"{name}.ipynb")

    def _with_includes(self, file: Path) -> str:
        text = self._tables(file.read_text(encoding="utf-8"), file.stem)
        return re.sub(
            r"^```\{include\} (\S+)\n```$",
            lambda found: (file.parent / found[1]).resolve().read_text(encoding="utf-8"),
            text,
            flags=re.MULTILINE,
        )

    def _navigation(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield the parts of the index: a caption, and names and titles of pages."""
        for found in _CAPTION.finditer((self.folder / "index.md").read_text(encoding="utf-8")):
            options, entries = _options(found[1])
            pages = [entry for entry in entries if entry in self.names]
            yield options.get("caption", ""), [(page, self.title(page)) for page in pages]

    def _body(self, name: str) -> str:
        markdown = (
            MarkdownIt("commonmark", {"html": True})
            .enable("table")
            .use(anchors_plugin, max_level=3)
            .use(dollarmath_plugin, allow_space=False, renderer=_formula)
        )
        markdown.add_render_rule("fence", self._fence(name))
        markdown.add_render_rule("link_open", _link)
        return str(markdown.render(self._sources[name]))

    def _fence(self, name: str) -> Callable[..., str]:
        plain = RendererHTML().rules["fence"]
        here = (self.folder / name).parent

        def fence(renderer: object, tokens: list[Token], index: int, *more: object) -> str:
            token = tokens[index]
            found = re.match(r"\{([\w-]+)\}\s*(.*)", token.info)
            if not found:
                return str(plain(tokens, index, *more))
            directive, argument = found.groups()
            options, lines = _options(token.content)
            if directive == "toctree":
                return self._contents(name, options, lines)
            if directive == "csv-table":
                return _table(here / options["file"])
            if directive == "literalinclude":
                text = (here / argument).resolve().read_text(encoding="utf-8")
                return f"<pre><code>{html.escape(text)}</code></pre>"
            # The reference of functions, which Python prints as well: help(popinv.fit).
            return f"<pre><code>{html.escape(token.content)}</code></pre>"

        return fence

    def _contents(self, name: str, options: dict[str, str], entries: list[str]) -> str:
        """Return a list of pages; the index has them beside it."""
        if "hidden" in options:
            return ""
        folder = name.rpartition("/")[0]
        wanted = [f"{folder}/{entry}".strip("/") for entry in entries]
        pages = [page for each in wanted for page in self.names if Path(page).match(each)]
        items = [
            f'<li><a href="{os.path.relpath(page, folder or ".")}.html">'
            f"{html.escape(self.title(page))}</a></li>"
            for page in pages
        ]
        return f"<ul>{''.join(items)}</ul>"


def _options(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the options of a directive, and its other lines."""
    options: dict[str, str] = {}
    lines = []
    for line in text.splitlines():
        if found := _OPTION.match(line.strip()):
            options[found[1]] = found[2]
        elif line.strip():
            lines.append(line.strip())
    return options, lines


def _formula(text: str, options: dict[str, bool]) -> str:
    return str(convert(text, display="block" if options["display_mode"] else "inline"))


def _link(
    renderer: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, environment: Any
) -> str:
    """Return the start of a link, which leads to a rendered page."""
    href = str(tokens[index].attrs["href"])
    if "://" not in href:
        # The site has the keys of the configuration on pages of its own.
        page = re.sub(r"^((?:\.\./)*)\.\./config/README\.md", r"\1configuration/index.md", href)
        tokens[index].attrs["href"] = re.sub(r"\.(md|ipynb)(?=$|#)", ".html", page)
    return renderer.renderToken(tokens, index, options, environment)


def _table(file: Path) -> str:
    """Return the table of a CSV file, whose first row is its heading."""
    with file.open(encoding="utf-8", newline="") as opened:
        heading, *rows = csv.reader(opened)

    def cells(row: list[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{cells(heading, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _of_notebook(file: Path) -> str:
    """Return a notebook's text and code, without output."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts)


def _tables_of(folder: Path) -> Callable[[str, str], str]:
    """Return the function that puts the tables of measured results into a page."""
    file = folder / "claims_tables.py"
    if not file.exists():
        return lambda text, name: text
    specification = importlib.util.spec_from_file_location("claims_tables", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    before = list(sys.path)
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path[:] = before

    def rendered(text: str, name: str) -> str:
        return str(module.rendered(text, name)) if "<!-- " in text else text

    return rendered
