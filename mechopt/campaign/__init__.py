"""Running a campaign: the log of what happened, where it stands, and what to do next.

`store` writes and reads the log and imports nothing heavy; `state` replays it.
"""
