"""Work that goes to other programs and other people, and comes back: paintings, jobs, the share package."""
