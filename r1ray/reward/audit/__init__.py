"""Audit of a reward: responses that are wrong by construction, and the rewards that they get."""
