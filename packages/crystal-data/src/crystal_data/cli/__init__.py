"""The `crystal-data` command and what the commands of all packages share."""
