"""Figures about orders."""
