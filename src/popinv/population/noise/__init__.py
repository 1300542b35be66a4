"""Models of the observation noise, one kind in each module.

``base`` states what every model keeps to. The module of a kind is called as the kind is in the
configuration and has a function ``noise``; ``build`` imports it where it is used, so that a stage
depends on the code of its own study's noise alone.
"""
