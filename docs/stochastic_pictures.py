"""The picture of docs/stochastic.md, from the finished study of colonies.

``popinv run config/examples/colonies.yaml`` runs the study. ``python docs/stochastic_pictures.py``
then writes docs/pictures/stochastic_colonies.png.
"""

from __future__ import annotations

from pathlib import Path

import popinv
from popinv.charts.description import Grid, Sheet
from popinv.charts.saving import save
from popinv.figures.intrinsic import variance_panels, variance_parts
from popinv.forward.datasets import observation_names

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "stochastic_colonies.png"
STUDY = ROOT / "results" / "colonies"


def picture(study: Path = STUDY) -> Sheet:
    """Return the parts of the variance of the counts, and learned against repeated deviations."""
    result = popinv.load(study)
    parts = variance_parts(result.problem, result.population)
    assert parts is not None
    names, units = observation_names(result.observations), result.observations["y"].attrs["units"]
    panels = variance_panels(parts, names, units)
    return Sheet("Growth of 200 colonies of cells", 10, 4.5, Grid(panels, len(panels)))


if __name__ == "__main__":
    save(picture(), PICTURE)
