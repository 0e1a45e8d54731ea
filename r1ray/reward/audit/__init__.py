"""Responses that are wrong by construction, and what a reward pays for them."""
