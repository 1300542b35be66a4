"""Figures, each in a module; ``study`` draws all those of a study from its artefacts."""
