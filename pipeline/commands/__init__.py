"""The commands of `kembar`, a module for each group of them; `pipeline.__main__` puts them together."""
