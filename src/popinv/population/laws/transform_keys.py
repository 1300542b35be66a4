"""The key `transforms` of a law: the transform of every parameter, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from popinv.sections.base import Number, Section
from popinv.sections.messages import Problem, name_problems

if TYPE_CHECKING:
    from popinv.population.laws.transforms import Transform


TRANSFORMS = (
    "The transform of every parameter, by name: `none` (normal), `log` (lognormal), or "
    "`{logit: [low, high]}` (logit-normal between low and high)."
)


class Logit(Section):
    """The ends of the interval of a logit-normal parameter."""

    logit: Annotated[list[Number], Field(min_length=2, max_length=2)] = Field(
        description="The ends of the parameter's interval, such as `[0, 1]`."
    )


def _named_or_logit(value: Any) -> str:
    return "<logit>" if isinstance(value, dict | Logit) else "<named>"


TransformKey = Annotated[
    Annotated[Literal["none", "log"], Tag("<named>")] | Annotated[Logit, Tag("<logit>")],
    Discriminator(_named_or_logit),
]


def chosen_transforms(keys: Mapping[str, str | Logit], names: Sequence[str]) -> list[Transform]:
    """Return the transform of each of the named parameters; `none` where there is no key."""
    from popinv.population.laws.transforms import LOG, NONE, logit

    named = {"none": NONE, "log": LOG}
    chosen = [keys.get(name, "none") for name in names]
    return [named[each] if isinstance(each, str) else logit(*each.logit) for each in chosen]


def transform_problems(keys: Mapping[str, str | Logit], names: Sequence[str]) -> Iterator[Problem]:
    """Yield names that are unknown or missing, and intervals without length."""
    for problem in name_problems(keys, names, "the law's parameters"):
        yield problem.under("transforms")
    for name, each in keys.items():
        if isinstance(each, Logit) and each.logit[0] >= each.logit[1]:
            yield Problem(
                ("transforms", name, "logit"),
                f"got {each.logit}, but the first end must be below the second.",
            )
