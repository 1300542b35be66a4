"""Models of the observation noise, one kind in each package.

``base`` states what every model keeps to, ``section`` what every section of a noise family offers,
and ``kinds`` lists the sections. The package of a kind has a module ``section``, the keys and what
they demand of the rest of a study, and a module ``noise``, the mathematics. A section imports its
model where it is used, so that a stage depends on the code of its own study's noise alone.
"""
