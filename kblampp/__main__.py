"""``python -m kblampp``: the command line."""

from kblampp.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
