"""Names, numbers, times and sizes in the form of the pages."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
import zlib
from collections.abc import Mapping

from markupsafe import Markup, escape

from popinv.charts.style import readable

# Short descriptions of the rules; other rules are called by their names.
_STAGES = {
    "assess_population": "assessment",
    "collect_solves": "gathering solves",
    "consult_oracle": "noise or law known",
    "deconvolve": "final descent",
    "draw_population": "drawing a population",
    "gather_answer": "gathering the answer",
    "import_observations": "reading observations",
    "observe_population": "adding noise",
    "plot_figures": "figures",
    "propose_parameters": "choosing solves",
    "repeat_solves": "repeated solves",
    "maximise_likelihoods": "likelihoods",
    "run_rounds": "rounds: solves, training, estimates",
    "simulate_observations": "population, solves and noise",
    "solve_chunk": "forward model",
    "solve_chunk_distributed": "forward model, by MPI",
    "train_surrogate": "surrogate training",
    "update_population": "estimates of the rounds",
}


def stage(rule: str) -> str:
    """Return a description of a rule's work."""
    return _STAGES.get(rule, readable(rule))


def rounded(value: float | int | str | None, digits: int = 4) -> str:
    """Return a number with a number of significant digits, as text with a proper minus sign."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (
        math.isfinite(value) and value == int(value) and abs(value) < 1e6
    ):
        return f"{int(value)}".replace("-", "−")
    if math.isnan(value):
        return "NaN"
    return f"{value:.{digits}g}".replace("-", "−").replace("inf", "∞")


def number(value: float | int | str | None, digits: int = 4) -> Markup:
    """Return a rounded number for readers, with the full number for programs."""
    if value is None or isinstance(value, str):
        return escape(rounded(value))
    return Markup('<data value="{}">{}</data>').format(repr(value), rounded(value, digits))


def measured(value: float | None, error: float | None) -> Markup:
    """Return a number with as many decimals as give its error two significant digits.

    Parameters
    ----------
    value : float or None
    error : float or None
        About its standard error or half its interval. If it is None or zero, the number gets four
        digits.
    """
    if value is None or not math.isfinite(value):
        return number(value)
    if not error or not math.isfinite(error) or abs(value) >= 1e6:
        return number(value)
    places = 1 - math.floor(math.log10(error))
    if places > 6:
        return number(value)
    text = f"{value:.{max(places, 0)}f}".replace("-", "−")
    return Markup('<data value="{}">{}</data>').format(repr(value), text)


def duration(seconds: float | None) -> str:
    """Return a time in suitable units."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def memory(megabytes: float | None) -> str:
    """Return an amount of memory in suitable units."""
    if megabytes is None or math.isnan(megabytes):
        return "–"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def compressed(text: str) -> str:
    """Return a text compressed by zlib, in base64."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def packed(metrics: Mapping[str, float | int | str | None]) -> str:
    """Return names and numbers as :func:`compressed` CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([("name", "value"), *metrics.items()])
    return compressed(stream.getvalue())


def inline(text: str) -> Markup:
    """Return a paragraph of Markdown as HTML with code and emphasis; links become their text."""
    html = str(escape(text))
    html = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", html)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    html = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html)
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", html))
