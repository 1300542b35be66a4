"""HTML pages to send to a colleague: one for each study, one for each method.

``gathering`` reads the results of a study into the plain records of ``records``, and plotly draws
the charts. ``pages`` fills the templates, and ``study_page`` combines all this. A page is one HTML
file that needs only a browser, without a server or a network.
"""
