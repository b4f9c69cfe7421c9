"""`python -m runner.cli`: the `runner` command where it is not installed, such as under torchrun."""

from runner.cli.main import main

if __name__ == "__main__":  # a worker that multiprocessing spawns imports this module too
    main()
