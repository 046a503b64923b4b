"""The inputs of one step, a function of recipe and step."""
