"""Run the command line from a checkout that is not installed: `python -m benchmark.cli`."""

from benchmark.cli import main

if __name__ == "__main__":  # the bench's own processes import this file too
    main()
