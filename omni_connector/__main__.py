"""`python -m omni_connector` is the command `omni-connector`."""

from omni_connector.cli import main

if __name__ == "__main__":
    main()
