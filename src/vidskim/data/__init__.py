"""What there is to train and measure on: manifests, the synthetic set, and stores of what is read.

``manifest`` is the CSV, ``folder`` makes one of a folder, ``official`` of official annotation
files; ``make`` writes videos; ``cache`` keeps frames, motion maps and answers.
"""
