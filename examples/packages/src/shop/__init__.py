"""A project of several packages that share helpers."""
