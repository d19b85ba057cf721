"""Who hears whom: rooms, their language channels, and the hub that owns them."""
