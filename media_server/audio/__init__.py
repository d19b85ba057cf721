"""Sound without a network: Opus, resampling, levels, loudness."""
