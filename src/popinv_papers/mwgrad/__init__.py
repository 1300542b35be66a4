"""Several objectives over one distribution: multiple Wasserstein gradient descent (MWGraD).

Particles x_1, ..., x_n stand for a distribution q. Each objective F_k(q) has a velocity field,
minus its Wasserstein gradient, which is estimated from the particles; the fields are merged with
the weights of least norm over the simplex, and the particles move along the sum, so that no
objective grows (Nguyen, Mamitsuka and Nakamura, arXiv 2505.18765). Formulas follow the authors'
released code and are otherwise derived anew, since the paper's body was not readable to us.

``velocities``  the targets, and the SVGD, Blob, GFSD, neural and normal estimates
``descent``     the state and its step: weights, plain, Adam and accelerated moves
``particle_problem``   the first test problem: four mixtures of normal laws, and acceleration
``ensembles``   networks as particles: the step of MWGraD, MT-SGD, MGDA and equal weights, and of
                the authors' script
``ensemble_runs``      the second test problem: pairs of overlapping images, and its runs
``ensemble_training``  one of them, and the search for its learning rate
``ensemble_problem``   numbers of all of them, and claims
``study``       particles that serve a group of observed systems
"""
