"""Stochastic gradient descent near critical points: convergence, sticking and escape.

    X_{n+1} = X_n - epsilon f'(X_n) + epsilon xi_{n+1}

in one dimension, with noise of finite or infinite variance. The question is that of Dudukalov,
Logachov, Lotov, Prasolov, Prokopenko and Tarasenko (arXiv 2505.18535), of whose paper only the
abstract and the introduction were readable to us: the formulas here are reconstructions from
standard probability, and no constant should be taken for theirs.

``landscapes``      slopes f' as piecewise polynomials
``noises``          laws of xi
``simulation``      many paths, each until it leaves an interval
``theory``          formulas for small rates: sticking, escape, exit times, Markov rates
``recursion``       escape from a quadratic maximum at any rate, by characteristic functions
``exit_equation``   exit times and probabilities at any rate, by integral equations
``measuring``       one number by theory and by simulation; sizes of the test problem
``sticking``, ``escapes``, ``exits``    the comparisons of the test problem
``problem``, ``claims``                 the test problem and its table
``restarts``        a study's descent from many starts
``outlook``         groups of their ends, and the chance of a better answer
``slices``          the loss along a line between answers: barrier, noise, chance to cross
``study``           all of this for a study
"""
