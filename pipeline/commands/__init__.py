"""The commands of `kembar`, a module for each group of them; `pipeline.cli` puts them together."""
