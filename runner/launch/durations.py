"""Durations as text."""


def words(seconds: float) -> str:
    """A duration in seconds as text, such as "40 s", "12 min", "3 h 20 min" or "2.5 days"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 10:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours} h" if hours < 48 else f"{seconds / 86_400:.1f} days"
