"""Videos that are made: the synthetic set, untrimmed ones of trimmed clips."""
