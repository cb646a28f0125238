"""This room's tables."""
