"""Laws of the parameters over a population, one kind in each package.

``base`` states the interface of every law, ``section`` that of every section of a law, and
``kinds`` lists the sections. The package of a kind has a module ``section``, the keys and their
requirements on the rest of a study, and a module ``law``, the mathematics. A section imports its
law only on use, so that a stage depends only on the code of its own study's law.
"""
