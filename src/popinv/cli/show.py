"""Tables of recovered parameters and of compared models, for the terminal.

Use: ``python -m popinv.cli.show results/*/metrics.json``.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from popinv.cli.programs import program
from popinv.cli.show_numbers import aligned, numbers_block, uses_lines, wrapped
from popinv.config.loading import load_file
from popinv.errors import DataError
from popinv.judgement.answer import StudyAnswer
from popinv.judgement.comparison import BASELINE_NAMES, explained, rows_of
from popinv.judgement.files import (
    METRICS_FILE,
    is_answer,
    read_answer,
    read_metrics,
    understood,
)
from popinv.judgement.judgements import judgements
from popinv.judgement.measures import SimulatorDiscrepancy, TruthErrors
from popinv.regular_files import absolute


def comparison_lines(name: str, comparison: Mapping[str, Any]) -> list[str]:
    """Return the table of a comparison, and what its numbers are.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.checks.model_comparison.compare`.
    """
    count, systems = len(comparison["models"]), comparison["systems"]
    heading = f"{name}: {count} models of the same {systems} systems"
    told = [line for text in explained(comparison) for line in wrapped(text)]
    return [heading, "-" * len(heading), *aligned(rows_of(comparison)), "", *told]


def comparisons_of(configuration: str | Path) -> str:
    """Return the tables of all comparisons of a configuration, whose jobs have run.

    Raises
    ------
    ConfigError
        If the configuration does not pass the checks.
    DataError
        If it has no comparison, or one has not run yet.
    """
    config = load_file(configuration)
    if not config.comparisons:
        raise DataError(
            f"{configuration}: compares no models. Name studies of the same observations there, "
            f"such as 'comparisons: {{models: [{', '.join(list(config.studies)[:2])}]}}', and run "
            f"popinv run {configuration}"
        )
    blocks = []
    for name in config.comparisons:
        file = Path(config.results, "comparisons", name, "comparison.json")
        if not file.exists():
            raise DataError(f"{file}: there is no such file yet. Run 'popinv run {configuration}'.")
        blocks.append("\n".join(comparison_lines(name, read_metrics(file))))
    return "\n\n".join(blocks)


# Further parameters of one kind are left out; metrics.json has them all.
_MOST = 12
_MOST_CHANGES = 3
# A law whose values are summaries has several of each parameter, and the correlations after them.
_MOST_SUMMARIES = 40
# Errors in the comparison of baselines.
_COMPARED = ("alpha_relative_error_rms", "noise_covariance_relative_frobenius_error")


def metrics_files(given: Sequence[Path]) -> list[Path]:
    """Return ``metrics.json`` of each study in folders of results, in ``results`` by default.

    Raises
    ------
    DataError
        If there is none. The message says what to do.
    """
    asked = given or (Path("results"),)
    folders = [folder for each in asked for folder in folders_of(each)]
    files = [path for each in folders for path in _metrics_in(each)]
    if not files:
        places = ", ".join(map(str, folders))
        raise DataError(
            f"no metrics.json in {places}: no study is finished there. {_instead(folders[0])}"
        )
    return files


def _instead(asked: Path) -> str:
    """Return advice if there is nothing to show."""
    if (Path("results") / asked / "metrics.json").is_file():
        return f"Did you mean {Path('results') / asked}?"
    if (asked / "logs").is_dir():
        return (
            f"The study has begun. Run it again to continue; {asked / 'logs'} shows the progress."
        )
    return (
        f"'{program('popinv')} run NAME.yaml' runs a study; without a name it is the one of "
        "config/config.yaml."
    )


def folders_of(given: Path) -> list[Path]:
    """Return the folders of the results of a configuration's studies; another path is itself.

    Raises
    ------
    ConfigError
        If the configuration does not pass the checks.
    """
    if given.suffix not in (".yaml", ".yml"):
        return [given]
    config = load_file(given)
    return [Path(config.results, name) for name in config.studies]


def outdated(given: Sequence[Path]) -> list[str]:
    """Return a sentence for each study that has changed since its answer, of configurations.

    Raises
    ------
    ConfigError
        If a configuration does not pass the checks.
    """
    from popinv.workflow.comparison import changes_since

    told = []
    for configuration in (each for each in given if each.suffix in (".yaml", ".yml")):
        config = load_file(configuration)
        for name in config.studies:
            changes = changes_since(Path(config.results, name), config)
            if changes:
                more = f" and {len(changes) - _MOST_CHANGES} more"
                shown = "; ".join(changes[:_MOST_CHANGES])
                told.append(
                    f"{name}: the answer is not that of what is there now: {shown}"
                    f"{more if len(changes) > _MOST_CHANGES else ''}. "
                    f"'{program('popinv')} run {configuration}' brings it up to date."
                )
    return told


def _metrics_in(given: Path) -> list[Path]:
    """Return the file itself, or the metrics of a study's folder or of all studies in a folder."""
    if given.suffix == ".json":
        return [given]
    own = given / METRICS_FILE
    return [own] if own.is_file() else sorted(given.glob(f"*/{METRICS_FILE}"))


def table(metrics_paths: Sequence[str | Path]) -> str:
    """Return recovered and true values, the judgements and the uses of each study.

    For other files, such as the file of a use, it returns their sentences and numbers.

    Parameters
    ----------
    metrics_paths : sequence of path
        ``metrics.json`` of each study, which is named by its folder, or another file of numbers.

    Raises
    ------
    DataError
        If a file is missing or unreadable.
    """
    files = [(Path(path), read_metrics(path)) for path in metrics_paths]
    studies: dict[Path, StudyAnswer] = {}
    blocks = []
    for path, numbers in files:
        if is_answer(path, numbers):
            studies[path] = answer = read_answer(path.parent)
            with understood(path):
                blocks += [_study(path, answer), _baselines(path)]
        else:
            with understood(path):
                blocks.append(_other(path, numbers))
    if len(studies) > 1:
        with understood(", ".join(map(str, studies))):
            blocks.append(_together([each.truth for each in studies.values() if each.truth]))
    blocks += _compared(list(studies))
    return "\n\n".join(block for block in blocks if block)


def systems(metrics_paths: Sequence[str | Path]) -> str:
    """Return the parameters of each system of each study: posterior means and 95 % intervals.

    They are sampled here if the study has not asked for the method `posterior`.

    Raises
    ------
    PopinvError
        If a study has no answer, or its simulator is not there.
    """
    return "\n\n".join(_systems(absolute(path).parent) for path in metrics_paths)


def _systems(folder: Path) -> str:
    file = folder / "downstream" / "posterior" / "systems.csv"
    if file.exists():
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
    else:
        rows = _sampled(folder)
    means = [name for name in rows[0] if name.split(" [")[0].endswith(" mean")]
    table: list[tuple[str, ...]] = [("system", *(name.replace(" mean", "") for name in means))]
    for row in rows:
        cells = (
            f"{_number(float(row[name]))} ({_number(float(row[_end(name, '2.5 %')]))} to "
            f"{_number(float(row[_end(name, '97.5 %')]))})"
            for name in means
        )
        table.append((row["system"], *cells))
    heading = f"{folder.name}: posterior mean and 95 % interval of each system"
    return "\n".join([heading, "-" * len(heading), *aligned(table)])


def _sampled(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the table of systems of a study that has not written it."""
    from popinv.api.fit import load
    from popinv.methods.posterior.study import systems_table, told_quantities

    result = load(folder)
    print(
        f"{folder.name}: sampling the parameters of {result.observations.sizes['system']} systems "
        "(the method 'posterior' under 'downstream' keeps them)",
        file=sys.stderr,
    )
    with redirect_stdout(sys.stderr):
        posterior = result.posterior()
    told = told_quantities(result.model.forward, result.model.law)
    every = np.ones(posterior.sizes["parameter"], dtype=bool)
    table = systems_table(posterior, list(told.units), every)
    return [{str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")]


def _end(mean: str, end: str) -> str:
    """Return the name of an interval's end from the name of its mean."""
    name, _, unit = mean.partition(" [")
    return name.removesuffix(" mean") + f" {end}" + (f" [{unit}" if unit else "")


def _other(path: Path, numbers: Mapping[str, Any]) -> str:
    """Return the text of a file that is not a study's answer."""
    if path.stem == "comparison" and "models" in numbers:
        return "\n".join(comparison_lines(absolute(path).parent.name, numbers))
    if path.stem == "comparison" and absolute(path).parent.name == "baselines":
        return _baselines(path.parent.parent / METRICS_FILE)
    return numbers_block(path, numbers)


def _compared(paths: Sequence[Path]) -> list[str]:
    """Return the comparisons of models of which at least two are shown."""
    shown = {absolute(path).parent.name for path in paths}
    blocks = []
    for folder in dict.fromkeys(absolute(path).parent.parent for path in paths):
        for file in sorted(folder.glob("comparisons/*/comparison.json")):
            comparison = read_metrics(file)
            if len(shown & set(comparison["models"])) > 1:
                blocks.append("\n".join(comparison_lines(file.parent.name, comparison)))
    return blocks


def _study(path: Path, answer: StudyAnswer) -> str:
    name, sizes = absolute(path).parent.name, answer.sizes
    heading = f"{name}: {sizes.in_words}"
    parameters = aligned(_parameters(answer))
    judged = [*_judged(path, answer), *uses_lines(path.parent)]
    if answer.discrepancy is not None:
        parameters += ["", *aligned(_discrepancy(answer.discrepancy))]
    return "\n".join([heading, "-" * len(heading), *parameters, "", *judged])


def _discrepancy(found: SimulatorDiscrepancy) -> list[tuple[str, ...]]:
    """Return the rows of the simulator's error, headings first."""
    unit = "" if found.units == "1" else f" [{found.units}]"
    rows: list[tuple[str, ...]] = [
        (f"error of the simulator{unit}", "recovered", "95 % interval", "95 % band of all")
    ]
    for i in range(min(len(found.values), _MOST)):
        ends = (
            f"{_number(low[i])} to {_number(high[i])}"
            for low, high in ((found.lower, found.upper), (found.joint_lower, found.joint_upper))
        )
        rows.append((found.places[i], _number(found.values[i]), *ends))
    if len(found.values) > _MOST:
        more = f"and {len(found.values) - _MOST} more in population.zarr.zip"
        rows.append((more, "", "", ""))
    return rows


def _baselines(path: Path) -> str:
    """Return errors and cost of the baselines, if the study was compared with any."""
    file = path.parent / "baselines" / "comparison.json"
    if not file.exists():
        return ""
    rows = [("method", "error of the law", "error of the noise", "systems", "seconds", "")]
    for name, row in read_metrics(file).items():
        errors = [row.get(key) for key in _COMPARED]
        rows.append(
            (
                BASELINE_NAMES.get(name, name.replace("_", " ")),
                *("" if error is None else f"{error:.3f}" for error in errors),
                str(row["systems"]),
                f"{row['seconds']:.0f}",
                row["note"],
            )
        )
    heading = f"{absolute(path).parent.name}: compared with other methods (relative errors)"
    return "\n".join([heading, "-" * len(heading), *aligned(rows)])


def _number(value: float) -> str:
    return f"{value:.4g}"


def _parameters(answer: StudyAnswer) -> list[tuple[str, ...]]:
    """Return the rows of the table, headings first, without empty columns."""
    rows: list[tuple[str, ...]] = [("", "parameter", "recovered", "95 % interval", "true", "unit")]
    values = set() if answer.discrepancy is None else answer.discrepancy.names
    for kind, entries in groupby(answer.parameters, key=lambda p: p.kind):
        # The values of a discrepancy have a table of their own.
        of_kind = [p for p in entries if kind == "law" or p.name not in values]
        most = _MOST_SUMMARIES if kind == "law" and answer.summaries else _MOST
        for p in of_kind[:most]:
            rows.append(
                (
                    kind,
                    p.name.replace("_", " "),
                    _number(p.value) if p.determined else "",
                    p.interval,
                    "" if p.true is None else _number(p.true),
                    p.units,
                )
            )
        if len(of_kind) > most:
            rows.append((kind, f"and {len(of_kind) - most} more in metrics.json", "", "", "", ""))
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [tuple(row[i] for i in kept) for row in rows]


def _judged(path: Path, answer: StudyAnswer) -> list[str]:
    """Return a line for each judgement, with the whole finding if it is a reason for doubt."""
    calibration = path.parent / "evidence" / "calibration.json"
    judged = judgements(answer, read_metrics(calibration) if calibration.exists() else None)
    rows: list[tuple[str, str, str]] = [
        (j.verdict, j.name, j.told if j.verdict == "doubt" else j.short) for j in judged
    ]
    rows.append(("", "Solver calls", f"{answer.solves.calls}, {answer.solves.failures} failed"))
    rows.append(("", "Figures", str(path.parent / "figures")))
    verdicts, names = (max(len(row[i]) for row in rows) for i in (0, 1))
    indent = " " * (verdicts + names + 4)
    lines = []
    for verdict, name, text in rows:
        start = f"{verdict.replace('neutral', ''):<{verdicts}}  {name:<{names}}  "
        lines += wrapped(text, start, indent)
    doubts = sum(j.verdict == "doubt" for j in judged)
    if doubts:
        lines.append(f"{doubts} of {len(judged)} judgements are reasons for doubt.")
    return lines


def _together(studies: Sequence[TruthErrors]) -> str:
    """Return the root mean square errors over the studies, relative to their oracles."""
    parts = []
    for name, pairs in (
        ("law", [(each.law_rms, each.law_oracle) for each in studies]),
        ("noise covariance", [(each.noise, each.noise_oracle) for each in studies]),
    ):
        both = [(error, oracle) for error, oracle in pairs if oracle is not None]
        if not both:
            continue
        # The number of studies cancels.
        total = math.sqrt(sum(error**2 for error, _ in both))
        total_oracle = math.sqrt(sum(oracle**2 for _, oracle in both))
        ratio = total / total_oracle if total_oracle > 0 else math.inf
        mean = total / math.sqrt(len(both))
        count = f"{len(both)} {'study' if len(both) == 1 else 'studies'}"
        parts.append(f"{name} {mean:.3f}, {ratio:.2f} times the oracle's ({count})")
    return f"Root mean square errors over the studies: {'; '.join(parts)}" if parts else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m popinv.cli.show", description=__doc__)
    parser.add_argument("metrics", nargs="+", help="metrics.json of each study")
    given = parser.parse_args(arguments)
    try:
        print(table(given.metrics))
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
