"""Prediction tables in the forms of public leaderboards."""
