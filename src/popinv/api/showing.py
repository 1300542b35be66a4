"""A result as text, and as a table of a notebook."""

from __future__ import annotations

import math
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from popinv.api.result import Result


# Further parameters are counted; `summary` has them all.
_MOST = 24
_WIDTH = 100
# A smaller error of the log likelihood is not shown.
_EXACT = 0.0005


def as_text(result: Result) -> str:
    """Return the heading, the recovered parameters and the checks."""
    table, notes = _table(result)
    lines = [*_heading(result).splitlines(), "", *table.to_string(index_names=False).splitlines()]
    lines += [line for note in notes for line in wrap(note, _WIDTH)]
    lines += ["", _checks(result)]
    for each in result.judgements:
        if each.verdict == "doubt":
            text = f"doubt: {each.name}. {each.told}"
            lines += wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(line.rstrip() for line in lines)


def as_html(result: Result) -> str:
    """Return the same for a notebook."""
    table, notes = _table(result)
    doubts = "".join(
        f"<li><b>{escape(each.name)}.</b> {escape(each.told)}</li>"
        for each in result.judgements
        if each.verdict == "doubt"
    )
    return (
        f"<p>{escape(_heading(result))}</p>{table.to_html(border=0)}"
        f"<p>{escape(' '.join(notes))}</p><p>{escape(_checks(result))}</p><ul>{doubts}</ul>"
    )


def _heading(result: Result) -> str:
    choice, sizes, likelihood = result.answer.choice, result.answer.sizes, result.answer.likelihood
    through = "the forward model itself" if choice.through == "solver" else "the surrogate"
    estimator = choice.estimator.replace("_", "-")
    name = f"{result.name}: " if result.name else ""
    value = ""
    if likelihood is not None and likelihood.error is not None:
        of_what = "Restricted log likelihood (REML)" if likelihood.restricted else "Log likelihood"
        value = (
            f"\n{of_what} {likelihood.value:.2f}, AIC {likelihood.aic:.2f}, BIC "
            f"{likelihood.bic:.2f}."
        )
        if likelihood.error >= _EXACT:
            value += f" Its draws leave an error of {likelihood.error:.2g} in the log likelihood."
    if result.answer.prior:
        value += (
            "\nWith priors: the estimates are the posterior mode, and the intervals posterior "
            "intervals."
        )
    return f"{name}{sizes.in_words}. Estimator: {estimator}, through {through}.{value}"


def _table(result: Result) -> tuple[pd.DataFrame, list[str]]:
    summary = result.summary()
    more = len(summary) - _MOST
    shown = summary.head(_MOST)
    known = ~shown.index.isin(result.answer.choice.undetermined)
    table = pd.DataFrame(
        {
            "estimate": [_number(value) for value in shown["estimate"].where(known)],
            "std. error": [_number(value) for value in shown["standard_error"]],
            "95 % interval": [
                f"{_number(low)} to {_number(high)}" if low <= high else "not determined"
                for low, high in zip(shown["lower"], shown["upper"], strict=True)
            ],
        },
        index=list(shown.index),
    )
    if "true" in shown:
        table["true"] = [_number(value) for value in shown["true"]]
    table["units"] = ["" if unit == "1" else unit for unit in shown["units"]]
    notes = [f"And {more} more parameters in summary()."] if more > 0 else []
    of_covariates = shown["kind"].eq("law") & shown["description"].str.contains(" where ")
    told = shown.loc[of_covariates, "description"].to_dict()
    notes += [f"{name} is the {text}." for name, text in told.items()]
    return table, notes


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _checks(result: Result) -> str:
    counts = [sum(j.verdict == verdict for j in result.judgements) for verdict in _VERDICTS]
    told = ", ".join(f"{n} {verdict}" for n, verdict in zip(counts, _VERDICTS, strict=True) if n)
    return f"Checks: {told}. check() has their findings."


_VERDICTS = ("good", "doubt", "neutral")
