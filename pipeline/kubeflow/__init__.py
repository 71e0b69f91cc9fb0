"""The graph in a cluster: compiled, submitted, and run a step a container."""
