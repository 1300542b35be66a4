"""Questions of a study's owner about the answer, one package for each question.

Each holds its mathematics, and

``section``  the settings, the question, and its demands on the study
``method``   the record: the inputs, outputs and resources of its job
``use``      the use on a study, and its pictures

They share:

``registry``    the records of all methods, of this package and of others
``sections``    the section of a study that requests methods
``section`` the base of the methods' sections
``method``      the classes of the records
``outcome``     the input and the result of a job, and its saving
``invariants``  differences that a use checks to be zero
``privacy``     guarantees from Rényi divergences, and clipped contributions
``sites``       laws of the sites of a federation
"""
