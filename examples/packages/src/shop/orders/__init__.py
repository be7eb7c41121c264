"""Orders: reading them."""
