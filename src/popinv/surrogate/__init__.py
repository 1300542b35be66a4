"""Cheap, differentiable stand-ins for a forward model, refitted as the population moves.

``networks`` holds the maps, ``training`` fits them, ``design`` says where the training rows come
from, how much each counts, and how large the remaining error is in units of the noise.
"""
