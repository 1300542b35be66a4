"""Laws of the parameters over a population, one kind in each module.

``base`` states what every law keeps to. The module of a kind is called as the kind is in the
configuration and has a function ``law``; ``build`` imports it where it is used, so that a stage
depends on the code of its own study's law alone.
"""
