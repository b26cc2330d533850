"""Paillier."""
