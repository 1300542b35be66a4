"""Charts, described once and written by matplotlib, by plotly and as CSV."""
