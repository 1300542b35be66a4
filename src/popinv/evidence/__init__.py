"""Evidence that the method works, on synthetic studies whose truth is known.

The evidence shows how the errors fall with the number of systems, how many solves active learning
saves, and how often the intervals hold the truth. All functions are pure functions of arrays and
artefacts.
"""
