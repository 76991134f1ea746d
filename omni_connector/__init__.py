"""omni-connector: one key, every AI account you own."""

__version__ = "0.1.0"
