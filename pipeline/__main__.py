"""`python -m dilo.pipeline` is `dilo-prep`."""

from dilo.pipeline.cli import main

if __name__ == "__main__":
    main()
