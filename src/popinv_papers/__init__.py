"""Reproductions of nine papers, as methods that popinv finds by an entry point.

Each paper has a package: its mathematics, and

``method``   the record: the settings of its use on a study, and the inputs, outputs and resources
             of its jobs
``check``    the test problem; ``problem`` and ``claims`` hold its parts
``use``      the use on a study; ``study`` holds its parts
``figures``  the pictures of both

``kit`` holds what they share, and ``methods`` gives their records to popinv.
"""
