"""`python -m daemon` is the same as the `earshot` command."""

from daemon.cli import main

if __name__ == "__main__":
    main()
