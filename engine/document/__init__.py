"""The document: one frozen value, and the pure acts that change it."""
