"""Segments rendered on Ray: on the cores or GPUs of this machine, or of several.

connect    Ray started for one run, or a cluster that is there; a token always
executor   who gets which segment, what happens when a worker dies
worker     one worker: a process with its model loaded
files      what a worker needs of a project, where its folder cannot be reached
node       `launch.py node`: a machine joins a cluster
"""
