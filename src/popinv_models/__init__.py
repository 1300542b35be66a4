"""Forward models that solve equations of physics, which popinv finds by an entry point.

Each kind of forward model has a package:

``section``  the keys of the configuration, and what follows from them
``model``    the solver; further modules hold its parts
``states``   whole states of a few systems, and ``drawing`` their picture

``finite_elements`` holds what the kinds with finite elements share, and ``models`` gives all kinds
to popinv.
"""
