"""Measuring: protocol, metrics, the table of methods, and its pictures.

``results`` holds what was measured, ``metrics`` pure functions on it, ``table`` one row per method,
``report`` the files written. ``figure``, ``timeline`` and ``attention_picture`` import matplotlib,
so they are imported only where a picture is drawn.
"""
