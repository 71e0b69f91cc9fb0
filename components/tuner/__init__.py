"""The search for hyperparameters, and the resolver that keeps what it found."""
