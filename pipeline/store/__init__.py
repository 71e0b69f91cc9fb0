"""The work folder: where things are, who may write, what is kept and what goes."""
