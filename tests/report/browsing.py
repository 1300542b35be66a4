"""A page in a browser, as a reader has it."""

from __future__ import annotations

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
