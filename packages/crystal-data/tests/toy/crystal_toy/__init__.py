"""A model package in small, for the tests of training."""
