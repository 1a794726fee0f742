"""Training of the bundled model on the drawn world: `python -m engine.training --help`."""
