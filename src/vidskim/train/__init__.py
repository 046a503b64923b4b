"""Training: one loop, one file per task, everything a function of the recipe and the step.

``recipe`` reads what is to be done, ``examples`` takes the rows from a manifest, ``tasks`` has
one file per task, ``loop`` is the loop, ``run`` the run's folder.
"""
