"""`crystal benchmark`: tables that one command reproduces, and their recorded results."""
