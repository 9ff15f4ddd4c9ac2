"""The optimal direct mechanism on count states: arrays, solving, metrics, words."""
