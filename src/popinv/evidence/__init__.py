"""Evidence that the method works, on synthetic studies whose truth is known.

How the errors fall with the number of systems, what placing the solves by active learning saves,
and how often the intervals hold the truth. Pure functions of arrays and artefacts.
"""
