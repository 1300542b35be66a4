"""The package in a Python session: ``popinv.fit``, ``popinv.load`` and their `Result`.

Nothing is computed here: the stages of the workflow are called one after the other, in memory.
"""
