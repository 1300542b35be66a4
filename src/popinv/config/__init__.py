"""The configuration: its models, its defaults, its messages and its documentation.

Nothing here imports a solver, a tensor library or a plotting library: the configuration is read
each time the workflow is parsed.
"""
