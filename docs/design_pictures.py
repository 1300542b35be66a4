"""Draw the pictures of the page on designs from config/examples/trial.yaml.

    python docs/design_pictures.py        # from the project's root

It writes docs/pictures/design_criterion.png, design_places.png and design_errors.png.
"""

from __future__ import annotations

from pathlib import Path

import popinv
from popinv.charts.saving import save

PICTURES = Path(__file__).parent / "pictures"


def main() -> None:
    """Draw all pictures."""
    trial = "config/examples/trial.yaml"
    doses = {"dose": [100.0, 200.0, 400.0]}
    several = popinv.design(
        trial, sensors=[2, 3, 4, 6, 10], systems=[30, 60, 120], choices=doses, checked=0
    )
    chosen = popinv.design(trial, sensors=4, systems=60, choices=doses, checked=8000)
    figures = {**chosen.figures(), "criterion": several.figures()["criterion"]}
    for name, sheet in figures.items():
        path = PICTURES / f"design_{name}.png"
        save(sheet, path)
        path.with_suffix(".csv").unlink()
    print(chosen.told())


if __name__ == "__main__":
    main()
