"""The drawn world: scenes with exact video, masks, tracks, flow, words and edits, at any size and length.

`scene.sample` draws scenes by lot, `draw.draw` and `draw.frames` draw them, `truth` knows their motion, `language` and
`edits` put them into words, `checkers` judge answers. One generator for training, tests and benches.
"""
