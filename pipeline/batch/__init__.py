"""Files of rows through the version in service."""
