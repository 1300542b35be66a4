"""Methods that use a study's answer, most of them with a test problem of their own.

Each method is a package: its mathematics, and

``section``  the settings, the question that the method answers, and its demands on the study
``method``   the record: the inputs, outputs and resources of its jobs
``check``    the test problem; ``problem`` and ``claims`` hold its parts
``use``      the use on a study; ``study`` holds its parts
``figures``  the pictures of both

They share:

``sections``  the table of methods that a study can ask for
``section``   the base of their sections
``method``    the classes of the records; ``methods`` finds the records
``outcome``   the input and the result of a job, and its saving
``claims``    claims of a paper, with the measurements
``simplex``   projection on weights of sum 1, and weights of least norm
``privacy``   guarantees from Rényi divergences, and clipped contributions
``sites``     laws of the sites of a federation
``data``      real data sets
"""
