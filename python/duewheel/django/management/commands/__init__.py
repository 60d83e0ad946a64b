"""The command of this application."""
