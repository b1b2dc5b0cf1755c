"""The subcommands of `crystal-gen`."""
