"""Figures, each in a module; ``study`` draws all figures of a study from its artefacts."""
