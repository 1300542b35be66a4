"""Laws of the parameters over a population, one kind in each package.

``base`` states what every law keeps to, ``section`` what every section of a law offers, and
``kinds`` lists the sections. The package of a kind has a module ``section``, the keys and what
they demand of the rest of a study, and a module ``law``, the mathematics. A section imports its law
where it is used, so that a stage depends on the code of its own study's law alone.
"""
