"""Laws of the parameters over a population.

``base`` states the interface of every law, and ``section`` the interface of every section of a law.
A family of laws has two modules: one holds the mathematics, and ``FAMILY_section`` holds the keys
and their requirements on the rest of a study. A section imports its law only on use, so loading a
configuration does not import torch, and a stage depends only on the code of its own study's law.
``composed`` holds laws that are made of other laws. ``popinv.population.kinds`` lists the kinds.
"""
