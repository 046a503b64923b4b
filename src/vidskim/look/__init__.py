"""The cheap look: scores for every clip, and which clips are chosen by them."""
