"""Name to network, what it costs, and how it is kept in a file."""
