"""Records of answers for tests, and the files that a study writes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from popinv.judgement.answer import (
    DescentArrival,
    EstimatorChoice,
    ObservedSizes,
    ParameterEstimate,
    RecoveredParameter,
    StudyAnswer,
)
from popinv.judgement.judgements import judgements
from popinv.judgement.measures import (
    HeldOutDistance,
    SolverCosts,
    SurrogateError,
    TruthErrors,
    WeakestDirection,
)
from popinv.judgement.verdict import Judgement


def estimate(
    kind: Literal["law", "noise"], name: str, *numbers: float | None, **known: Any
) -> ParameterEstimate:
    """Return the estimate of a parameter: its value, the ends of its interval, and its truth."""
    return ParameterEstimate(
        RecoveredParameter(kind, name, *numbers),  # type: ignore[arg-type]
        name,
        0.01,
        **known,
    )


ANSWER = StudyAnswer(
    sizes=ObservedSizes(1000, 50, 50, 3),
    choice=EstimatorChoice(
        *("likelihood", "the best that passes", "surrogate", True, "likelihood"),
        "distance and likelihood agree",
        agreement_p_value=0.6,
    ),
    estimates=(
        estimate("law", "mean", 0.512, 0.48, 0.54, efficiency=1.02),
        estimate("noise", "amplitude", 0.098, 0.095, 0.101),
    ),
    solves=SolverCosts(5500, 0, "", 3),
    weakest=WeakestDirection(
        "", "mean, covariance and third moments of the observations", "1.00 mean", 0.1
    ),
    descent=DescentArrival(True, 0.04),
    surrogate=SurrogateError(0.0712, 0.1, 0.11, 0.25, True),
    heldout=HeldOutDistance(0.01, 0.02, 0.4),
)
"""An answer without a truth, and without a doubt."""

TRUE = replace(
    ANSWER,
    estimates=(
        estimate("law", "mean", 0.512, 0.48, 0.54, 0.5, efficiency=1.02),
        estimate("noise", "amplitude", 0.098, 0.095, 0.101, 0.1),
    ),
    truth=TruthErrors(0.024, 0.03, 0.04, 0.02, 1.5, 0.05, 0.8),
)
"""The same with a known truth."""


def told(answer: StudyAnswer, name: str) -> Judgement:
    """Return the judgement of this name."""
    (judged,) = [each for each in judgements(answer) if each.name == name]
    return judged


def write(folder: Path, answer: StudyAnswer) -> Path:
    """Write the files of an answer into a folder, and return that of its metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answer.json").write_text(answer.to_json())
    (folder / "metrics.json").write_text(answer.metrics_json())
    return folder / "metrics.json"
