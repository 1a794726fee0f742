"""Auditions: the methods that can run here, each on one second around a frame, side by side with what they cost and keep."""
