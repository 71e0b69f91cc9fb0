"""The configuration file: read, checked and proposed."""
