"""`python -m jaxhep.cli` is `jaxhep`."""

from . import main

if __name__ == "__main__":
    main()
