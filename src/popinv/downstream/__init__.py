"""What follows from the recovered law, and nine methods on it, each with a test problem of its own.

``posterior``  the parameters of each observed system
``chains``     whether its draws have mixed

A package for each method, and what they share:

``adam``      one step of Adam
``simplex``   projection on the weights of sum 1, weights of least norm
``packages``  real data sets; ``images``, ``text`` read them
``claims``    what a paper claims beside what is measured
"""
