"""Stochastic gradient descent near critical points: convergence, sticking and escape.

    X_{n+1} = X_n - epsilon f'(X_n) + epsilon xi_{n+1}

in one dimension, with noise of finite or infinite variance. The question was posed by Dudukalov,
Logachov, Lotov, Prasolov, Prokopenko and Tarasenko (arXiv 2505.18535), of whose paper only the
abstract and the introduction were readable to us: the formulas here are reconstructions from
standard probability, and no constant should be taken for theirs.

``simulation``    slopes f', laws of xi, and many paths, each until it leaves an interval
``theory``        formulas for small rates: sticking, escape, exit times, Markov rates
``finite_rates``  escape from a quadratic maximum and exit times at any rate
``comparisons``   numbers by theory and by simulation, with their criteria, and the sizes
``check``         the test problem: its numbers and its table
``slices``        the loss along a line between answers: barrier, noise, chance to cross
``use``           a study's descent from many starts, and what lies between their ends
"""
