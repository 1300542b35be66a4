"""Which part of the packages imports which: from the source, as a table and a picture.

    python tests/architecture.py        # writes both into docs/developers.md and docs/pictures

A part is a subpackage of ``popinv``; the modules directly under it are gathered in *basics*, which
the others build on. ``popinv_models`` and ``popinv_papers`` are one part each, which the tool finds
by entry points and does not import.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "popinv"
HOUSES = {"popinv_models": "models", "popinv_papers": "papers"}
PAGE = ROOT / "docs" / "developers.md"
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
BEGIN, END = "<!-- written by tests/architecture.py -->", "<!-- end -->"

# The parts in rows from the bottom up: every arrow points down.
ROWS = (
    ("basics",),
    ("optimisation", "store"),
    ("sections", "transport"),
    ("forward", "judgement", "charts"),
    ("observation_files",),
    ("population",),
    ("surrogate",),
    ("inference",),
    ("planning",),
    ("additions", "baselines", "evidence", "figures"),
    ("methods",),
    ("config",),
    ("workflow",),
    ("report",),
    ("api",),
    ("cli",),
    ("models", "papers"),
)


def part_of(module: str) -> str:
    """Return the part that a module, as ``popinv.a.b``, belongs to."""
    if (package := module.split(".")[0]) in HOUSES:
        return HOUSES[package]
    name = module.split(".")[1] if "." in module else "__init__"
    return name if (SOURCE / name).is_dir() else "basics"


def _imported(tree: ast.AST) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            bare = node.module == "popinv"
            modules.update(f"popinv.{a.name}" if bare else node.module for a in node.names)
    return {name for name in modules if name.split(".")[0] in ("popinv", *HOUSES)}


@cache
def arrows() -> dict[str, set[str]]:
    """Return, for each part, the parts that its modules import, inside functions too."""
    imports: dict[str, set[str]] = {part: set() for row in ROWS for part in row}
    packages = (SOURCE.parent / name for name in ("popinv", *HOUSES))
    for file in sorted(file for package in packages for file in package.rglob("*.py")):
        part = part_of(".".join(file.relative_to(SOURCE.parent).with_suffix("").parts))
        targets = {part_of(name) for name in _imported(ast.parse(file.read_text()))}
        imports.setdefault(part, set()).update(targets - {part})
    return imports


def table() -> str:
    """Return the arrows as a table in Markdown, from the top down."""
    imports = arrows()
    lines = ["| part | imports |", "|---|---|"]
    for row in reversed(ROWS):
        lines += [f"| {part} | {', '.join(sorted(imports[part])) or 'nothing'} |" for part in row]
    return "\n".join(lines)


def documented() -> str:
    """Return the table that the page holds."""
    return PAGE.read_text().split(BEGIN)[1].split(END)[0].strip()


def draw() -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "popinv", "svg.fonttype": "path"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 8.4))
    places = {}
    for height, row in enumerate(ROWS):
        for k, part in enumerate(row):
            places[part] = ((k + 0.5) / len(row), height)
    for part, targets in arrows().items():
        # That everything imports the basics says nothing.
        for target in sorted(targets - {"basics"}):
            if part == "basics":
                continue
            axes.annotate(
                "", xy=places[target], xytext=places[part],
                arrowprops={
                    "arrowstyle": "-|>", "color": "0.55", "shrinkA": 14, "shrinkB": 14,
                    "connectionstyle": "arc3,rad=0.06",
                },
            )  # fmt: skip
    for part, place in places.items():
        axes.text(
            *place, part, ha="center", va="center",
            bbox={"boxstyle": "round,pad=0.5", "facecolor": "#dbe9f4", "edgecolor": "#33597a"},
        )  # fmt: skip
    axes.set(xlim=(-0.05, 1.05), ylim=(-0.6, len(ROWS) - 0.4))
    axes.axis("off")
    figure.savefig(PICTURE, metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")
    draw()
