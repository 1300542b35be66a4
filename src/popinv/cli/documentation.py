"""The documentation: ``popinv docs``.

``make docs`` in a checkout writes its site. An installed package has the address of the site.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from popinv.errors import DataError
from popinv.location import project_folder


def page_named(site: Path, asked: str) -> Path:
    """Return the page of a built site with a name, such as ``data`` or ``studies/theophylline``.

    Raises
    ------
    DataError
        If there is none. The message lists the names that are near.
    """
    wanted = asked.removeprefix("docs/").removesuffix(".md").removesuffix(".html")
    names = {
        str(file.relative_to(site).with_suffix("")): file
        for file in sorted(site.rglob("*.html"))
        if not file.relative_to(site).parts[0].startswith("_")
    }
    for name in (wanted, f"{wanted}/index"):
        if name in names:
            return names[name]
    for name, file in names.items():
        if name.rpartition("/")[2] == wanted:
            return file
    near = [name for name in names if wanted in name] or list(names)
    raise DataError(f"there is no page '{asked}'. Pages: {', '.join(near)}")


def built_site() -> Path | None:
    """Return the folder of the site that ``make docs`` has written, if it is there."""
    site = project_folder() / "build" / "site"
    return site if (site / "index.html").is_file() else None


def where_to_read() -> str:
    """Return where the documentation is if its site is not here, and how to build it."""
    urls = metadata.metadata("popinv").get_all("Project-URL") or []
    addresses = dict(url.split(", ", 1) for url in urls)
    told = f"The documentation is at {addresses['Documentation']}"
    folder = project_folder()
    if (folder / "Makefile").is_file():
        return f"{told}; 'make docs' in {folder} builds it here"
    return told
