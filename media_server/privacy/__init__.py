"""Consent and what may be kept."""
