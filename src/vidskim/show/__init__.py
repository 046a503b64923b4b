"""Answers for people: text, time lines, pictures, a page."""
