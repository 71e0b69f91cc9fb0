"""The smallest family: a dense classifier of vectors. docs/families.md uses it as the example."""
