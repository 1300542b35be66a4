"""Models of the observation noise.

``base`` states the interface of every model, and ``section`` that of every section of a noise
family. A family has a module, the mathematics, beside a module ``FAMILY_section``, the keys and
their requirements on the rest of a study. A section imports its model only on use: loading a
configuration imports no torch, and a stage depends only on the code of its own study's noise. Noise
that is made of other noise is in ``composed`` and ``varying``. ``student``, ``intervals`` and
``clipped`` compute for heavy tails and limits. ``popinv.population.kinds`` lists the kinds.
"""
