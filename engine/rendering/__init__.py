"""From the document to pixels: what has to be computed, by whom, and under which key it is kept."""
