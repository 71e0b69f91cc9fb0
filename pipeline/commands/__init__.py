"""Groups of commands: files and serving, Kubeflow, schedule; `pipeline.cli` has the others, and joins all."""
