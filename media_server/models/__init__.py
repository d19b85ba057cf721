"""Models: what exists (manifest), what is here (store), and how the rest gets here (fetch, hub, packages)."""
