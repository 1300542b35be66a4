"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

from popinv import __version__

project = "popinv"
author = copyright = "the popinv developers"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "popinv"

napoleon_google_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False}
