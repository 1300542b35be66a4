"""The sections of forward models, and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from popinv.forward.kinds import KINDS
from popinv.forward.section import ForwardSection, forward_section

SIMULATOR = {"parameters": ["a", "b"], "observations": {"count": 2, "times": [0, 1, 3]}}
EXAMPLES: dict[str, dict[str, Any]] = {
    "elastodynamics": {},
    "lorenz96": {},
    "porous_flow": {},
    "python": {**SIMULATOR, "function": "simulator:solve"},
    "umbridge": {**SIMULATOR, "url": "http://localhost:4242"},
    "executable": {**SIMULATOR, "command": ["./program", "{input}", "{output}"]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_is_itself_and_what_it_is_written_out_as(kind: str) -> None:
    section = forward_section({"kind": kind, **EXAMPLES[kind]})
    assert isinstance(section, ForwardSection)
    assert forward_section(section) is section
    assert forward_section(section.model_dump(mode="json")) == section
    assert section.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_counts_are_those_of_what_is_described(kind: str) -> None:
    section = forward_section({"kind": kind, **EXAMPLES[kind]})
    observations = section.observed(1)
    assert section.parameter_names() == tuple(p.name for p in section.parameters())
    assert section.observation_count() == len(observations)
    assert section.time_count() == observations.time_count
    regular = kind not in ("python", "umbridge", "executable")
    assert section.times_are_regular() == regular
    assert section.has_states() == regular
    cost = section.cost()
    assert cost.megabytes > 0
    assert cost.seconds > 0
