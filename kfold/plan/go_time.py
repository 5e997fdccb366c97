"""Times in a Go layout (`2006-01-02_15-04-05.999_MST`): the reference time Mon Jan 2 15:04:05 MST 2006, written out.

Source: the Go standard library, package time, `Time.Format`. Names are English whatever the locale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# The first alternative that fits wins, so longer ones stand first. `_2006` is an underscore and a year.
_ELEMENT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|_(?=2006)|2|__2|_2|3|4|5|PM|pm"
    r"|-070000|-07:00:00|-0700|-07:00|-07|Z070000|Z07:00:00|Z0700|Z07:00|Z07|[.,](?:0+|9+)(?![0-9])"
)


def format_time(moment: datetime, layout: str) -> str:
    """`moment` (with a zone) in `layout`. Fractions of a second end at microseconds.

    Raises:
        ValueError: `moment` has no zone.
    """
    if moment.utcoffset() is None:
        raise ValueError("the time has no zone")
    return _ELEMENT.sub(lambda match: _element(moment, match.group()), layout)


_FIELDS: dict[str, Callable[[datetime], str]] = {
    "_": lambda _: "_",
    "January": lambda moment: _MONTHS[moment.month - 1],
    "Jan": lambda moment: _MONTHS[moment.month - 1][:3],
    "01": lambda moment: f"{moment.month:02}",
    "1": lambda moment: str(moment.month),
    "Monday": lambda moment: _DAYS[moment.weekday()],
    "Mon": lambda moment: _DAYS[moment.weekday()][:3],
    "02": lambda moment: f"{moment.day:02}",
    "_2": lambda moment: f"{moment.day:2}",
    "2": lambda moment: str(moment.day),
    "002": lambda moment: f"{moment.timetuple().tm_yday:03}",
    "__2": lambda moment: f"{moment.timetuple().tm_yday:3}",
    "15": lambda moment: f"{moment.hour:02}",
    "03": lambda moment: f"{moment.hour % 12 or 12:02}",
    "3": lambda moment: str(moment.hour % 12 or 12),
    "04": lambda moment: f"{moment.minute:02}",
    "4": lambda moment: str(moment.minute),
    "05": lambda moment: f"{moment.second:02}",
    "5": lambda moment: str(moment.second),
    "2006": lambda moment: f"{moment.year:04}",
    "06": lambda moment: f"{moment.year % 100:02}",
    "PM": lambda moment: "PM" if moment.hour >= 12 else "AM",
    "pm": lambda moment: "pm" if moment.hour >= 12 else "am",
    "MST": lambda moment: zone_name(moment),
}


def _element(moment: datetime, element: str) -> str:
    field = _FIELDS.get(element)
    if field is not None:
        return field(moment)
    if element[0] in ".,":
        digits = f"{moment.microsecond:06}000"[: len(element) - 1].ljust(len(element) - 1, "0")
        if element[1] == "9":
            # Trailing zeros go, and with the last digit the dot.
            digits = digits.rstrip("0")
        return element[0] + digits if digits else ""
    return _offset(moment, element)


def _offset(moment: datetime, element: str) -> str:
    offset = moment.utcoffset() or timedelta()
    if element[0] == "Z" and not offset:
        return "Z"
    seconds = abs(int(offset.total_seconds()))
    parts = [f"{seconds // 3600:02}", f"{seconds // 60 % 60:02}", f"{seconds % 60:02}"]
    count = (len(element.replace(":", "")) - 1) // 2
    sign = "-" if offset < timedelta() else "+"
    return sign + (":" if ":" in element else "").join(parts[:count])


def zone_name(moment: datetime) -> str:
    """The abbreviation of the zone (`CET`); where it has none, its offset as Go writes it (`+03`, `+0530`)."""
    name = moment.tzname() or ""
    # Python invents "UTC+03:00" for a fixed offset without a name.
    if name and not name.startswith(("UTC+", "UTC-")):
        return name
    offset = moment.utcoffset() or timedelta()
    return _offset(moment, "-07" if not int(offset.total_seconds()) % 3600 else "-0700")
