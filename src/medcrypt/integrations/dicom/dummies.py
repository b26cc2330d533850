"""Values that say nothing, valid for their value representation (PS3.5, section 6.2)."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pydicom

_TEXT = "ANONYMIZED"
_DUMMIES: dict[str, Any] = {
    "AE": _TEXT, "AS": "000D", "AT": 0, "CS": _TEXT, "DA": "19000101", "DS": "0", "DT": "19000101000000", "FD": 0.0,
    "FL": 0.0, "IS": "0", "LO": _TEXT, "LT": _TEXT, "OB": b"\0\0", "OD": bytes(8), "OF": bytes(4), "OL": bytes(4),
    "OV": bytes(8), "OW": b"\0\0", "PN": _TEXT, "SH": _TEXT, "SL": 0, "SS": 0, "ST": _TEXT, "SV": 0, "TM": "000000",
    "UC": _TEXT, "UL": 0, "UN": b"", "UR": "urn:anonymized", "US": 0, "UT": _TEXT, "UV": 0,
}  # fmt: skip


def empty(tag: int, vr: str) -> pydicom.DataElement:
    """Return an element without a value."""
    from pydicom.dataelem import DataElement, empty_value_for_VR

    vr = _one(vr)
    return DataElement(tag, vr, empty_value_for_VR(vr))


def dummy(tag: int, vr: str) -> pydicom.DataElement:
    """Return an element with a value that is made up: a sequence of one empty item, a random UID, and so on."""
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

    vr = _one(vr)
    value: Any = _DUMMIES.get(vr, b"")
    if vr == "SQ":
        value = [Dataset()]
    elif vr == "UI":
        value = f"2.25.{uuid.UUID(bytes=os.urandom(16), version=4).int}"
    return DataElement(tag, vr, value)


def vr_of(dataset: pydicom.Dataset, tag: int) -> str:
    """Return the value representation of an element, from the dictionary where the file does not say it."""
    from pydicom.datadict import dictionary_VR

    stated = dataset.get_item(tag).VR
    if stated and stated != "UN":
        return str(stated)
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _one(vr: str) -> str:
    """Return one of the representations that the dictionary leaves open, such as ``"US or SS"``."""
    return vr.split(" or ", maxsplit=1)[0]
