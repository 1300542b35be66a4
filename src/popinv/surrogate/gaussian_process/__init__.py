"""Gaussian processes that stand in for an expensive forward model.

``processes`` is the mathematics, ``fit`` finds the hyperparameters, ``emulator`` adds the change of
units, and ``acquisition`` chooses the next solves.
"""
