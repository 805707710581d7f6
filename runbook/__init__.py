"""The package behind the notebooks: from an environment to a verified scaling threshold."""
