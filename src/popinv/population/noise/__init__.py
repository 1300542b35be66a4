"""Models of the observation noise, one kind in each package.

``base`` states the interface of every model, ``section`` that of every section of a noise family,
and ``kinds`` lists the sections. The package of a kind has a module ``section``, the keys and their
requirements on the rest of a study, and a module ``noise``, the mathematics. A section imports its
model only on use, so that a stage depends only on the code of its own study's noise.
"""
