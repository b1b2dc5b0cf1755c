"""One module for each subcommand that is not the trainer's."""
