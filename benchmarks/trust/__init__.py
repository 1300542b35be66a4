"""How often verdicts and intervals are right, on populations that are drawn anew."""
