"""Real servers and clients on loopback, for the end-to-end tests and the demonstration."""
