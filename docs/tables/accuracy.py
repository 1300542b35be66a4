"""Keep the errors of finished synthetic studies for the tables of accuracy.

    .venv/bin/python docs/tables/accuracy.py results

The folder has results of studies of ``config/examples``: the studies with 1000 systems
(``data/accuracy/systems_1000.csv``), or with 10,000 (``systems_10000.csv``), the three seeds of the
default study (``three_seeds.csv``), and other methods on the same data (``methods.csv``,
``hierarchical_bayes.csv``). A study whose results are there replaces its former row; rows of other
studies stay. Each row has the commit and the machine of the job that wrote the answer.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from popinv.baselines.comparison import LAW_ERROR, NOISE_ERROR
from popinv.judgement.answer import StudyAnswer
from popinv.judgement.files import read_answer
from popinv.workflow.records import read_record

__all__ = ["FOLDER", "methods", "replaced", "seeds", "study"]

FOLDER = Path(__file__).parent / "data" / "accuracy"
# Names of studies begin with these.
_STUDIES = {
    "porous_1d": "porous flow, 1-D",
    "porous_2d": "porous flow, 2-D",
    "level_set": "two materials (level set)",
    "bar": "elastic bar",
    "plane_strain": "cantilever in plane strain",
    "lorenz96": "Lorenz-96, one scale",
    "two_scales": "Lorenz-96, two scales",
}
_SEEDS = ("seed_1", "seed_2", "seed_3")
_METHODS = {
    "study": "this study (likelihood)",
    "distance": "distance alone (cut gradient)",
    "noise_known": "the noise known",
    "law_known": "the law known",
    "full": "full gradient",
    "plain": "unweighted distance",
    "two_stage": "two-stage fit",
    "nuts": "NUTS, posterior means",
}
_ANSWER_JOB = "made/assess_population.json"
Row = Mapping[str, str]


def _measured(record: Path) -> dict[str, str]:
    """Return the commit and the machine of a job."""
    made = read_record(record)
    return {"commit": made.versions["commit"][:8], "machine": made.machine["processor"]}


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _largest(answer: StudyAnswer) -> str:
    """Return the largest error of the law: relative, or absolute if the truth is below 0.1."""
    assert answer.truth is not None
    law = [each.own for each in answer.estimates if each.own.kind == "law"]
    errors = {
        p.name: abs(p.value - p.true) / (abs(p.true) if abs(p.true) >= 0.1 else 1.0)
        for p in law
        if p.true is not None
    }
    worst = max(errors, key=errors.__getitem__)
    return f"{answer.truth.law_largest:.3f} ({worst.replace('_', ' ')})"


def study(folder: Path) -> Row | None:
    """Return the row of a study of the examples, or None for another one."""
    name, _, noise = folder.name.rpartition("_")
    if name not in _STUDIES:
        return None
    answer = read_answer(folder)
    assert answer.truth is not None
    truth, choice = answer.truth, answer.choice
    through = " (solver)" if choice.through == "solver" else ""
    return {
        "study": _STUDIES[name],
        "noise": noise,
        "answered by": choice.estimator.replace("_", "-") + through,
        "largest error of the law": _largest(answer),
        "error of the noise covariance": _number(truth.noise, 3),
        "law, error to oracle's": _number(truth.law_to_oracle, 2),
        "noise, error to oracle's": _number(truth.noise_to_oracle, 2),
        "surrogate error, noise standard deviations": _number(
            answer.surrogate.rmse if answer.surrogate else None, 3
        ),
        "solver calls": str(answer.solves.calls),
        **_measured(folder / _ANSWER_JOB),
    }


def seeds(results: Path) -> Iterator[Row]:
    """Yield the rows of the default study with three seeds."""
    answers = [read_answer(results / name) for name in _SEEDS]
    where = _measured(results / _SEEDS[-1] / _ANSWER_JOB)
    truths = [answer.truth for answer in answers if answer.truth is not None]

    def row(quantity: str, truth: str, cells: Sequence[str], ratio: str = "") -> Row:
        by_seed = {f"seed {k}": cell for k, cell in enumerate(cells, start=1)}
        ratios = {"root mean square error to oracle's": ratio}
        return {"quantity": quantity, "truth": truth, **by_seed, **ratios, **where}

    def to_oracle(errors: Sequence[float], oracle: Sequence[float | None]) -> str:
        ours, its = (np.sqrt(np.mean(np.square(each))) for each in (errors, oracle))
        return f"{ours / its:.2f}"

    law = to_oracle([t.law_rms for t in truths], [t.law_oracle for t in truths])
    for k, estimate in enumerate(answers[0].estimates):
        p = estimate.own
        if p.kind == "law":
            cells = [f"{answer.estimates[k].own.value:.3f}" for answer in answers]
            ratio = f"{law} (the whole law)" if k == 0 else ""
            yield row(f"law: {p.name.replace('_', ' ')}", f"{p.true:g}", cells, ratio)
    noise = to_oracle([t.noise for t in truths], [t.noise_oracle for t in truths])
    covariance = "noise: relative error of the covariance"
    yield row(covariance, "0", [f"{t.noise:.3f}" for t in truths], noise)
    rmse = [answer.surrogate.rmse if answer.surrogate else None for answer in answers]
    surrogate = "surrogate error, in noise standard deviations"
    yield row(surrogate, "", [_number(each, 3) for each in rmse])
    yield row("solver calls", "", [str(answer.solves.calls) for answer in answers])


def methods(folder: Path, *, with_seconds: bool) -> Iterator[Row]:
    """Yield the rows of the other methods on the data of a study."""
    compared = json.loads((folder / "baselines" / "comparison.json").read_text(encoding="utf-8"))
    where = _measured(folder / "made" / "compare_baselines.json")
    for name, title in _METHODS.items():
        if (found := compared.get(name)) is None:
            continue
        seconds = {"seconds": f"{found['seconds']:.0f}"} if with_seconds else {}
        yield {
            "method": title,
            "law, root mean square error": _number(found[LAW_ERROR], 3),
            "noise covariance, error": _number(found[NOISE_ERROR], 3),
            **seconds,
            **where,
        }


def replaced(before: Sequence[Row], now: Sequence[Row], *keys: str) -> list[Row]:
    """Return the rows with new ones in the place of the former rows of equal keys."""

    def key(row: Row) -> tuple[str, ...]:
        return tuple(row[name] for name in keys)

    new = {key(row): row for row in now}
    rows = [new.pop(key(row), row) for row in before]
    return [*rows, *new.values()]


def _write(name: str, rows: Sequence[Row], *keys: str) -> None:
    """Replace rows of a table."""
    file = FOLDER / f"{name}.csv"
    with file.open(newline="", encoding="utf-8") as lines:
        before = list(csv.DictReader(lines))
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(before[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(replaced(before, rows, *keys))
    print(f"{len(rows)} rows measured: {file.name}")


def main(results: Path) -> None:
    """Replace the rows of all studies whose results are there."""
    by_size: dict[int, list[Row]] = {}
    for file in sorted(results.glob("*/answer.json")):
        if row := study(file.parent):
            systems = read_answer(file.parent).sizes.systems
            by_size.setdefault(systems, []).append(row)
    for systems in (1_000, 10_000):
        if rows := by_size.get(systems):
            _write(f"systems_{systems}", rows, "study", "noise")
    if all((results / name / "answer.json").is_file() for name in _SEEDS):
        _write("three_seeds", list(seeds(results)), "quantity")
    for name, table, with_seconds in (
        ("evidence", "methods", False),
        ("nuts", "hierarchical_bayes", True),
    ):
        if (results / name / "baselines" / "comparison.json").is_file():
            _write(table, list(methods(results / name, with_seconds=with_seconds)), "method")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
