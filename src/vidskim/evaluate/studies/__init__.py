"""The studies of SCSampler over one manifest: its tables 1 to 6 and figures 2 to 7 in form.

``setting`` holds what all of them share: classifiers with their answers, saliency networks with
their scores, both from caches. ``choosing``, ``judging`` and ``evaluate.bootstrap`` are pure
arithmetic on these. Each study is a file of its own; ``run`` does those that are asked for.
"""
