"""Candidates of all sources for a request: made, merged where they are alike, and ranked."""
