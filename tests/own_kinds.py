"""The law, the noise family and the forward model that docs/own_kinds.md shows, as files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from tiny_study import ROOT

__all__ = ["MODULES", "STUDY", "write_modules"]

_PAGE = (ROOT / "docs" / "own_kinds.md").read_text()
MODULES = dict(re.findall(r"```python\n# (my_\w+\.py)\n(.*?)```", _PAGE, re.DOTALL))
(STUDY,) = (
    example["studies"]["mine"]
    for example in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", _PAGE, re.DOTALL))
    # Other examples are parts of a study.
    if "studies" in example and "my_laws" in example["studies"]["mine"]["law"]["kind"]
)
STUDY: dict[str, Any]


def write_modules(folder: Path) -> None:
    """Write the modules into a folder."""
    for name, text in MODULES.items():
        (folder / name).write_text(text)
