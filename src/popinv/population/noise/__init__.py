"""Models of the observation noise.

``base`` states the interface of every model, and ``section`` the interface of every section of a
noise family. A family has two modules: one holds the mathematics, and ``FAMILY_section`` holds the
keys and their requirements on the rest of a study. A section imports its model only on use, so
loading a configuration does not import torch, and a stage depends only on the code of its own
study's noise. ``composed`` and ``varying`` hold noise that is made of other noise. ``student``,
``intervals`` and ``clipped`` compute for heavy tails and limits. ``popinv.population.kinds`` lists
the kinds.
"""
