"""HTML pages from records and charts.

A page holds its texts, tables, pictures and numbers. The library that draws its charts is too large
for each page (4.8 MB; plotly has no smaller bundle for Python). The report's folder holds one copy,
and every page with charts refers to it by a relative path.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from popinv import __version__
from popinv.charts.page_chart import DARK, Chart
from popinv.charts.style import readable
from popinv.errors import DataError
from popinv.forward.registry import DEPENDS
from popinv.judgement.answer import RecoveredParameter
from popinv.judgement.comparison import BASELINE_NAMES
from popinv.judgement.files import METRICS_FILE, understood
from popinv.judgement.judgements import AGAINST_TRUTH
from popinv.report import formats
from popinv.report.describing import described, in_short, question_of
from popinv.report.folder import (
    ASSETS,
    found_comparisons,
    found_studies,
    is_alone,
    library_name,
)
from popinv.report.gathering import (
    designs_of,
    gather_comparison,
    gather_listed,
    predictions_of,
)
from popinv.report.records import (
    Comparison,
    DesignedNext,
    Listed,
    MethodRecord,
    Predicted,
    StudyRecord,
)
from popinv.sections.base import plain
from popinv.store.whole_files import write_text
from popinv.workflow.records import versions_of

_TEMPLATES = Path(__file__).parent / "templates"
# Packages on which results depend, in addition to Python itself.
_PACKAGES = (
    "popinv",
    "numpy",
    "scipy",
    "torch",
    "xarray",
    "zarr",
    "numba",
    *DEPENDS,
    "snakemake",
    "plotly",
)
# Largest number of rows of a table of metrics; the rest can be saved.
_MOST_NUMBERS = 1000
# The first table has at most this many parameters of the noise, and the index of the law.
_NOISE_ROWS, _LAW_ROWS = 6, 12


@dataclass(frozen=True)
class Reproduction:
    """The configuration as YAML, the same as base64, and the versions of packages."""

    configuration: str
    encoded: str
    versions: dict[str, str]


def reproduction(name: str, study: Mapping[str, Any]) -> Reproduction:
    """Return the configuration and versions that reproduce a study.

    Parameters
    ----------
    study : mapping
        The study's section of a checked configuration.
    """
    text = yaml.safe_dump({"studies": {name: dict(study)}}, sort_keys=False, allow_unicode=True)
    return Reproduction(text, base64.b64encode(text.encode()).decode(), versions_of(*_PACKAGES))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("popinv.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("duration", "inline", "measured", "memory", "number", "packed", "stage"):
        environment.filters[name] = getattr(formats, name)
    environment.filters["readable"] = readable
    environment.globals |= {
        "asset": _asset,
        "library": f"../{ASSETS}/{library_name()}",
        "colours": DARK,
        "most_numbers": _MOST_NUMBERS,
        "version": __version__,
    }
    return environment


def _asset(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def study_page(
    study: StudyRecord,
    charts: Mapping[str, Sequence[Chart]],
    rounds: Sequence[Mapping[str, Any]],
    searches: Sequence[Mapping[str, Any]],
    alone: bool = False,
    influential: Sequence[tuple[str, float]] = (),
) -> str:
    """Return the page of a study.

    Parameters
    ----------
    charts : mapping of str to sequence of Chart
        By section: ``individuals``, ``law``, ``noise``, ``observations``, ``judgement``,
        ``estimators``, ``evidence``, ``rounds``.
    rounds : sequence of mapping
        ``name``, ``calls``, ``failures`` and ``error`` of each round.
    searches : sequence of mapping
        See :func:`popinv.report.study_page.searches_of`.
    alone : bool
        Whether the report begins with this page, so that there is no other to lead back to.
    influential : sequence of (str, float)
        See :func:`popinv.report.study_page.influential_systems`.
    """
    every = study.answer.parameters
    law = [p for p in every if p.kind == "law"]
    noise = [p for p in every if p.kind == "noise"]
    shown = [*law, *noise[:_NOISE_ROWS]]
    return (
        _environment()
        .get_template("study.html")
        .render(
            study=study,
            metrics=study.answer.metrics(),
            charts=charts,
            rounds=rounds,
            searches=searches,
            alone=alone,
            influential=influential,
            truth_check=AGAINST_TRUTH,
            parameters=shown,
            hidden=len(every) - len(shown),
            intervals=any(p.lower is not None for p in shown),
            known=any(p.true is not None for p in shown),
            in_short=in_short(study.config),
            described=described(study.config),
            questions={name: question_of(name) or readable(name) for name in study.uses},
            compared=BASELINE_NAMES,
            reproduction=reproduction(study.name, plain(study.config)),
        )
    )


def method_page(method: MethodRecord) -> str:
    """Return the page of a downstream method."""
    return (
        _environment()
        .get_template("method.html")
        .render(
            method=method,
            charts=(),
            versions=versions_of(*_PACKAGES),
            reproductions={name: reproduction(name, c) for name, c in method.configs.items()},
        )
    )


def comparison_page(comparison: Comparison, charts: Sequence[Chart]) -> str:
    """Return the page of a comparison of models."""
    template = _environment().get_template("comparison.html")
    return template.render(comparison=comparison, charts=charts)


def index_page(
    studies: Sequence[Listed],
    methods: Sequence[MethodRecord],
    comparisons: Sequence[Comparison] = (),
    predictions: Sequence[Predicted] = (),
    designs: Sequence[DesignedNext] = (),
) -> str:
    """Return the page with links to all others."""
    template = _environment().get_template("index.html")
    answered = [study for study in studies if study.current and study.answer is not None]
    return template.render(
        studies=studies,
        answered=answered,
        answers=_answers(answered),
        methods=methods,
        comparisons=comparisons,
        predictions=predictions,
        designs=designs,
        charts=(),
    )


def _answers(studies: Sequence[Listed]) -> list[tuple[str, list[RecoveredParameter | None]]]:
    """Return the main parameters of all studies by name, with that of each study that has it."""
    found: dict[str, list[RecoveredParameter | None]] = {}
    for kind, most in (("law", _LAW_ROWS), ("noise", _NOISE_ROWS)):
        for number, study in enumerate(studies):
            every = () if study.answer is None else study.answer.parameters
            for p in [p for p in every if p.kind == kind][:most]:
                units = f" [{p.units}]" if p.units else ""
                row = found.setdefault(f"{kind}: {readable(p.name)}{units}", [None] * len(studies))
                row[number] = p
    return list(found.items())


def first_page(study: str) -> str:
    """Return a page that redirects to the page of a report's only study."""
    return _environment().get_template("first.html").render(study=study)


def write_index_of(results: Path) -> Path:
    """Write the first page of the report of a folder of results, and return the page.

    The page lists the existing results. It reads no configuration and runs nothing in the folder.

    Raises
    ------
    DataError
        If the folder has no results, if these cannot be read, or if the page cannot be written.
    """
    names, compared = found_studies(results), found_comparisons(results)
    if not names:
        raise DataError(
            f"{results} has no results of a study (<study>/metrics.json). Name the folder that "
            "holds the studies' folders."
        )
    page = results / "report" / "index.html"
    studies = []
    for name in names:
        with understood(results / name / METRICS_FILE):
            studies.append(replace(gather_listed(results, name, None), current=True))
    with understood(results / "comparisons"):
        comparisons = [
            gather_comparison(results / "comparisons" / name / "comparison.json")
            for name in compared
        ]
        predictions = [each for name in names for each in predictions_of(results, name)]
        designs = [each for name in names for each in designs_of(results, name)]
        text = index_page(studies, [], comparisons, predictions, designs)
    more = predictions or designs
    if is_alone(names, compared) and studies[0].page and not more:
        text = first_page(names[0])
    try:
        page.parent.mkdir(exist_ok=True)
        write_text(page, text)
    except OSError as error:
        raise DataError(f"{page} cannot be written: {error.strerror}") from None
    return page
