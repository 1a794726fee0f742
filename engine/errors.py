"""What can go wrong, said to a person: cause, place, remedy.

Every error that a user can meet is an `EngineError`. Its text is one sentence (or two short ones) that says
what is wrong, where, and what to do next. Anything else that is raised is a bug and is shown as one.
"""


class EngineError(Exception):
    """A named failure with a sentence for the user."""


class MediaError(EngineError):
    """A clip, picture or mask that cannot be read, or an output that cannot be written."""


class RecipeError(EngineError):
    """A recipe or an act with a value that cannot be right; names the key."""


class ProjectError(EngineError):
    """A project that cannot be opened, found or changed as asked."""


class MethodError(EngineError):
    """A method that cannot run as configured: what it needs and how to get it."""


class Cancelled(Exception):
    """The user stopped the work. Not an error: whoever catches it cleans up and says "cancelled"."""
