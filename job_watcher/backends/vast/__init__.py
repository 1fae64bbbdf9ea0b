"""Rented machines as a backend: when one is rented, how it is driven to its end, and how jobs run there."""
