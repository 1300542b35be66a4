"""Several objectives over one distribution: multiple Wasserstein gradient descent (MWGraD).

Particles x_1, ..., x_n stand for a distribution q. Each objective F_k(q) has a velocity field,
minus its Wasserstein gradient, which is estimated from the particles; the fields are merged with
the weights of least norm over the simplex, and the particles move along the sum, so that no
objective grows (Nguyen, Mamitsuka and Nakamura, arXiv 2505.18765). Formulas follow the authors'
released code and are otherwise derived anew, since the paper's body was not readable to us.

``kernels``     the radial kernel and its gradients
``targets``     log-densities (KL) and samples (MMD)
``velocities``  SVGD, Blob, GFSD, neural and Langevin estimates
``descent``     the state and its step: weights, plain, Adam and accelerated moves
``mixtures``    the first test problem: four mixtures of normal laws
``overlaid``    pairs of overlapping images; ``lenets``, networks with a head for each of two labels
``ensembles``   networks as particles: the step of MWGraD, MT-SGD, MGDA and equal weights
``ensemble_problem``  the second test problem: ensembles on pairs of images
``study``       particles that serve a group of observed systems
"""
