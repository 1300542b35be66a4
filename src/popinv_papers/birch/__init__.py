"""Local and asynchronous stochastic gradient descent as growth of one computation tree.

Tyurin and Sivtsov (arXiv 2505.09218) write distributed methods as ways to grow a tree of points.
The main branch converges if every gradient's point stays within a bounded distance of it in the
tree; how workers share the work then matters only for the time that the gradients take.

``tree``           nodes, main branch, distance, representation, and the conditions on a run
``engine``         workers, messages and the clock of a simulated run
``policies``       in rounds, at each worker's own pace, and of nested clusters
``catalogue``      all policies by name, with their largest distance
``theory``         the theorem's numbers, its promise, and times over the bounds
``replay``         the points of a recorded tree, for many step sizes at once
``objectives``     a quadratic and logistic regression on images
``regimes``        speeds of workers and messages, and the search for settings
``problem``        the test problem: the fastest methods of each regime; ``claims`` on it
``live``           policies run on vectors: by a simulated clock, or by real worker processes
``candidates``     the ways to train that a study compares, and the advice
``study``          a study's surrogate trained by real workers of unequal speed
``solve_sharing``  a round's solves, shared by machines of unequal speed
"""
