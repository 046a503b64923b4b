"""What models, looks and the papers' configurations cost."""
