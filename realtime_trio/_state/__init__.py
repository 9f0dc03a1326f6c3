"""The machines: what follows from the server's events.

Pure: they are told what came and what was sent, and return what follows.
"""
