"""`crystal report`: what finished runs left behind, as one page."""
