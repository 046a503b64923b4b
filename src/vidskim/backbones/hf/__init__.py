"""Clip classifiers of Hugging Face's transformers."""
