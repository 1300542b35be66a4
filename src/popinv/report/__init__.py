"""HTML pages to send to a colleague: one for each study, one for each method.

``gathering`` reads the results of a study into the plain records of ``records``, ``judgement``
judges how far its answer can be trusted, and plotly draws the charts. ``pages`` fills the
templates, and ``writing`` combines all this.
A page is one HTML file that needs only a browser, without a server or a network.
"""
