"""The instant preview: an approved take carried round the playhead at once, small and rough, then properly in the background.

`pictures` makes the frames, `child` is the process that does, `preview` is what the page holds of it.
"""
