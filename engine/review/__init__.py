"""What is measured of a project's frames, what is wrong with them, what a run would cost, and the report of what was done."""
