"""What there is to train and measure on: manifests, the synthetic set, and stores of what is read.

``manifest`` is the CSV, ``scan`` makes one of a folder; ``synthetic`` writes videos, ``scene`` is
what is seen and heard in them; ``store`` keeps frames and motion maps read once.
"""
