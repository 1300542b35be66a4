"""Inputs of each system over time: doses, loads, rain; how they are read and reach a solver."""
