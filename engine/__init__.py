"""Anchorline's engine. This door holds the names that the page and the command line may use."""
