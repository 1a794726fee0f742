"""What lies on disk: a project's folder, its database, what happened in it, and the cache beside it."""
