"""The parts that the laws of random fields share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from popinv.forward.section import ForwardSection
from popinv.population.laws.section import LawSection
from popinv.sections.messages import Problem

__all__ = ["FieldLaw", "field_shape"]


class FieldLaw(LawSection):
    """A law of the random field of the forward model."""

    @classmethod
    def kind_problems(cls, kind: str, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a problem if the law does not match the forward model's field."""
        right = forward.field_law()
        if kind == right:
            return
        field = getattr(forward, "field", "none")
        yield Problem(
            ("kind",),
            f"got '{kind}', but the field of the forward model is '{field}'; the "
            + (
                f"law that goes with it is '{right}' (or normal, or lognormal)."
                if right
                else "laws that go with that are 'normal' and 'lognormal'."
            ),
        )

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a problem if the forward model has another field, or none."""
        yield from self.kind_problems(self.kind, forward)


def field_shape(forward: ForwardSection) -> tuple[int, int]:
    """Return the dimension of the forward model's random field and its modes per direction."""
    section = cast(Any, forward)
    return section.dimension, section.modes
