"""Pages that a scientist can send to a colleague: one for each study, one for each method.

``gathering`` reads what a study has left into the plain records of ``records``; ``judgement``
says how far its answer can be trusted; the charts are drawn by plotly; ``pages`` fills the
templates, and ``writing`` puts all that together.
A page is one HTML file that needs nothing but a browser: no server, no network.
"""
