"""A page in a browser, as a reader has it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DRAWN = "html[data-drawn=true]"


@dataclass
class Visit:
    """A page in the browser, and what it has said and asked for since it was opened."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def visit(browser: Browser, file: Path, width: int, scheme: Any) -> Visit:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False
    )
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.said.append(message.text))
    visit.page.on("pageerror", lambda error: visit.said.append(str(error)))
    visit.page.on("request", lambda request: visit.asked.append(request.url))
    visit.page.add_init_script(
        "window.all = (selector) => [...document.querySelectorAll(selector)];"
    )
    visit.page.goto(file.as_uri())
    visit.page.wait_for_selector(DRAWN)
    return visit


# Lines, and one that changes behind a fold.
FEW = ("densities", "solves")


def with_few_charts(text: str, kept: Collection[str] = FEW) -> str:
    """Return a study's page without the other charts, whose drawing takes the browser seconds."""
    chart = re.compile(r'<figure class="chart[^>]*id="chart-([^"]+)".*?</figure>', re.DOTALL)
    return chart.sub(lambda found: found[0] if found[1] in kept else "", text)


# Words and figures that are seen before anything is opened, without the writing in charts.
COUNTS = """() => {
  const hidden = '.plot, .hidden, .skip, script, style, noscript, option, details > :not(summary)';
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  let text = '';
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.closest(hidden)) text += ` ${node.textContent}`;
  }
  const figures = [...document.querySelectorAll('figure')].filter((f) => !f.closest('details'));
  return [text.split(/\\s+/).filter((word) => /\\w/.test(word)).length, figures.length];
}"""


def counts_of(page: Page) -> tuple[int, int]:
    """Return the numbers of words and of figures that a page shows by default."""
    words, figures = page.evaluate(COUNTS)
    return words, figures
