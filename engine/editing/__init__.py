"""The parts of the editor (engine/editor.py): what is opened, and the marks on it."""
