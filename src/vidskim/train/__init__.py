"""Training: one loop, one file per task, everything a function of the recipe and the step.

``recipe`` reads what is to be done, ``examples`` takes the rows from a manifest, ``clips`` and
``saliency`` are the tasks, ``fit`` is the loop, ``checkpoint`` the run's folder.
"""
