"""Trace, couple, score, select, cut, verify: a smaller network with the proof that the cut is right."""
