"""Subcommands of `crystal-gan` that are not the trainer's, one module each."""
