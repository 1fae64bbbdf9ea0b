"""Real parts for tests: servers on private ports, a proxy that breaks connections, waiting by deadline."""
