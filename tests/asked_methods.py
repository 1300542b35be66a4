"""Methods that are asked of the finished tiny study, and what they find."""

from __future__ import annotations

import json
from typing import Any

from tiny_study import Workflow

from popinv.cli.show import table
from popinv.methods.invariants import PREFIX


def found_by(
    finished: Workflow, tiny: dict[str, Any], asked: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Run the methods alone, check what all of them promise, and return their metrics by name."""
    tiny["studies"]["tiny"]["downstream"] = asked
    printed = finished.dry_run(tiny)
    for untouched in ("solving chunk", ": training the surrogate\n", "recovering", "assessing"):
        assert untouched not in printed
    done = finished.run()
    assert done.returncode == 0, done.stdout
    folder = finished.folder / "results" / "tiny"
    found = {
        method: json.loads((folder / f"downstream/{method}/metrics.json").read_text())
        for method in asked
    }
    shown = " ".join(table([folder / "metrics.json"]).split())
    for method, metrics in found.items():
        assert all(isinstance(value, float | int | str) for value in metrics.values())
        nothing = [n for n in metrics if n.startswith(PREFIX) and not n.endswith("_tolerance")]
        assert nothing, method
        assert all(metrics[name] <= metrics[f"{name}_tolerance"] for name in nothing)
        assert " ".join(metrics["statement"].split()) in shown, method
        assert metrics["statement"][:30] in table([folder / f"downstream/{method}/metrics.json"])
    return found
