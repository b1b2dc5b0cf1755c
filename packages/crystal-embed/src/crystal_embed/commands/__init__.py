"""The subcommands of `crystal-embed`."""
