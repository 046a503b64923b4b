"""Measuring: protocol, metrics, the table of methods, and its pictures.

``results`` holds what was measured, ``metrics`` pure functions on it, ``table`` one row per method,
``report`` the files written. ``figure`` imports matplotlib, as the pictures of ``show`` do, so
they are imported only where a picture is drawn.
"""
