"""Running a campaign: the log of what happened, where it stands, and what to do next.

`store` writes and reads the log and imports nothing heavy; `replay` makes a `state` of it, `topup`
plans the missing data. May import everything below the studies, by `solving` the mechanisms.
"""
