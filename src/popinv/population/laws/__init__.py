"""Laws of the parameters over a population.

``base`` states the interface of every law, and ``section`` that of every section of a law. A family
of laws has a module, the mathematics, beside a module ``FAMILY_section``, the keys and their
requirements on the rest of a study. A section imports its law only on use: loading a configuration
imports no torch, and a stage depends only on the code of its own study's law. Laws that are made of
other laws are in ``composed``, and ``popinv.population.kinds`` lists the kinds.
"""
