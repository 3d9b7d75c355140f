"""Brings things in: a plain folder, ready to be sealed, from a cache, a folder with links, an archive.

``source`` says what a thing is; ``folder`` and ``archive`` copy it into a new folder (``target``).
"""
