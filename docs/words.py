"""Count the written words of the documentation, and phrases that make it hard to read.

    python docs/words.py [FILE ...]

A written word is one of a sentence in Markdown: blocks of code, formulas, directives and the cells
of tables that a program writes do not count; cells of tables that a person writes do. The phrases
are counted in the source as well.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHRASES = ("that of", "those of", "asks for", "asked for", "so many", "such a")
_WRITTEN = re.compile(r"<!-- (?:written|table: begin).*?<!-- (?:table: )?end -->", re.DOTALL)
_BLOCKS = re.compile(r"^```.*?^```|^~~~.*?^~~~|\$\$.*?\$\$|<!--.*?-->", re.DOTALL | re.MULTILINE)


def words(file: Path) -> int:
    """Return the number of written words of a Markdown file."""
    text = _BLOCKS.sub(" ", _WRITTEN.sub(" ", file.read_text(encoding="utf-8")))
    text = re.sub(r"\]\([^)]*\)|\$[^$\n]*\$|`[^`\n]*`", " word ", text)
    return len(re.findall(r"[A-Za-zÀ-ÿ][\w'’-]*", text))


def pages() -> list[Path]:
    """Return the pages of the site that people write; config/README.md counts by itself."""
    return sorted((ROOT / "docs").rglob("*.md"))


def phrases() -> dict[str, int]:
    """Return how often each phrase occurs in the source and the documentation."""
    files = [*(ROOT / "src").rglob("*.py"), *pages(), ROOT / "config" / "README.md"]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    # A phrase may be broken at the end of a line.
    text = re.sub(r"\s+(?:#\s*)?", " ", text).lower()
    return {phrase: len(re.findall(rf"\b{phrase}\b", text)) for phrase in PHRASES}


def main() -> None:
    """Print the counts of all pages, or of those that are named."""
    files = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    for file in files:
        print(f"{words(file):7,d}  {file.relative_to(ROOT)}")
    print(f"{sum(map(words, files)):7,d}  together")
    if len(sys.argv) == 1:
        print(f"{words(ROOT / 'config' / 'README.md'):7,d}  config/README.md")
        for phrase, count in phrases().items():
            print(f"{count:7,d}  '{phrase}'")


if __name__ == "__main__":
    main()
