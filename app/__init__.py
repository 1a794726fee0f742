"""Anchorline's page: Gradio, and our own routes beside it."""
