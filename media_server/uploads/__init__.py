"""Recordings that somebody sends in to be recognized: decoded apart, cut at silences, recognized after live calls."""
