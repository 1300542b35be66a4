"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.directives.patches import CSVTable

from popinv import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "popinv"
author = copyright = "the popinv developers"
release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",  # formulas are shown without a network
    "sphinx_copybutton",
]
exclude_patterns = ["**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = "popinv"
html_static_path = ["static"]
html_css_files = ["narrow.css"]
html_js_files = ["sortable.js"]
html_domain_indices = False

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

# Every build runs the notebooks, and a cell that fails stops it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

napoleon_google_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False}


def _with_tables(app: Any, name: str, source: list[str]) -> None:
    """Put the tables of measured results into a page."""
    from claims_tables import rendered

    if "<!-- " in source[0]:
        source[0] = rendered(source[0], Path(name).name)


class MeasuredTable(CSVTable):
    """A table of a CSV file, whose columns of commits and machines become a line below it."""

    def get_csv_data(self) -> tuple[Any, str]:
        """Return the lines of the file without these columns."""
        lines, source = super().get_csv_data()
        head, *rows = csv.reader(lines)
        record = [head.index(name) for name in ("commit", "machine") if name in head]
        self.record = [list(dict.fromkeys(row[i] for row in rows)) for i in record]
        left = [i for i in range(len(head)) if i not in record]
        text = io.StringIO()
        csv.writer(text).writerows([row[i] for i in left] for row in (head, *rows))
        return text.getvalue().splitlines(), source

    def run(self) -> list[Any]:
        """Return the table and the line."""
        made = super().run()
        if not any(self.record):
            return made
        told = " on ".join(", ".join(each) for each in self.record)
        return [*made, nodes.paragraph("", "", nodes.emphasis(text=f"Recorded at {told}."))]


def setup(app: Any) -> None:
    """Connect the tables."""
    app.connect("source-read", _with_tables)
    app.add_directive("csv-table", MeasuredTable, override=True)
