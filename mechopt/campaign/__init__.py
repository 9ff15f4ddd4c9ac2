"""Running a campaign: the log of what happened, where it stands, and what to do next."""

from mechopt.campaign.state import Campaign, replay, update
from mechopt.campaign.store import append_event, read_log

__all__ = ["Campaign", "append_event", "read_log", "replay", "update"]
