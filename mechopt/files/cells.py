"""Cells as spreadsheets write them: which are numbers, and what to do about those that are not.

A decimal comma is read where the whole file is written that way; thousands separators, currency
and percent signs are refused with what to write instead. Ambiguity is an error, never a guess.
"""

from __future__ import annotations

import re
from typing import Any

from mechopt import arrays
from mechopt.problem import numbers

EMPTY = "is empty; fill it in, or delete the row"
_LONGEST = 60  # characters of a cell that is looked at for a remedy
_EXPONENT = r"([eE][+-]?\d{1,3})?"
_COMMA = re.compile(rf"[+-]?\d*,\d+{_EXPONENT}", re.ASCII)
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_POINT = re.compile(rf"[+-]?\d*\.\d+{_EXPONENT}", re.ASCII)
_GROUPS = re.compile(r"[+-]?\d{1,3}((?P<by>[,.'’ \u00a0\u2009\u202f])\d{3})+(?P<rest>[.,]\d*)?")
_MONEY = re.compile(r"[$€£¥₹₽₩฿₺]|\b(EUR|USD|GBP|CHF|JPY|CAD|AUD|INR|CNY)\b", re.IGNORECASE)
_ERRORS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!")
_NOTHING = ("na", "n/a", "null", "none", "-", "–", "—", "?", "tbd", "missing")


def comma_style(cell: str) -> str:
    """What a cell says about the file's decimal sign: "comma", "point", "ambiguous" or ""."""
    cell = cell.strip()
    if len(cell) > _LONGEST:
        return ""
    if _AMBIGUOUS.fullmatch(cell):
        return "ambiguous"
    if _COMMA.fullmatch(cell):
        return "comma"
    return "point" if _POINT.fullmatch(cell) else ""


def number(cell: str, *, exact: bool, decimal: str = ".") -> Any:
    """The number in a cell; ValueError says why there is none, and what to write instead."""
    cell = cell.strip()
    if not cell:
        raise ValueError(EMPTY)
    if decimal == "," and _COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    elif decimal == "," and "." in cell:
        raise ValueError(
            f"{cell[:40]!r} has a point, but other numbers here a decimal comma; use one of them"
        )
    try:
        return numbers.one(arrays.number(cell, exact=exact))
    except ValueError as error:
        raise ValueError(remedy(cell) or str(error)) from None


def remedy(cell: str) -> str:
    """What a cell that is no number probably means, and what to write; "" if it is not known."""
    if not cell or len(cell) > _LONGEST:
        return ""
    if cell.upper() in _ERRORS:
        return f"{cell!r} is a spreadsheet error; mend its formula"
    if cell.lower() in _NOTHING:
        return f"{cell!r} is no number; fill it in, or delete the row"
    if _AMBIGUOUS.fullmatch(cell):
        return f"{cell!r} is ambiguous: write {cell.replace(',', '')} or {cell.replace(',', '.')}"
    if _MONEY.search(cell):
        left = _MONEY.sub("", cell).strip()
        return f"{cell!r} has a currency sign; write {_plain(left)}"
    if cell.endswith("%"):
        share = _plain(cell[:-1].strip())
        try:
            return f"{cell!r} is a percentage; write {float(share) / 100:g}"
        except ValueError:
            return f"{cell!r} is a percentage; write a share between 0 and 1"
    if _GROUPS.fullmatch(cell) and not _POINT.fullmatch(cell):
        return f"{cell!r} has thousands separators; write {_plain(cell)}"
    if _COMMA.fullmatch(cell):
        return f"{cell!r} has a decimal comma; write {cell.replace(',', '.')}"
    if cell[0] in "−–—" and _is_number(cell[1:]):
        return f"{cell!r} begins with a dash that is no minus sign; write -{cell[1:]}"
    if cell[0] == "(" and cell[-1] == ")" and _is_number(_plain(cell[1:-1])):
        return f"{cell!r} is in parentheses; write -{_plain(cell[1:-1])}"
    return ""


def _is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        arrays.number(cell, exact=False)
    except ValueError:
        return False
    return True


def _plain(cell: str) -> str:
    """A number without thousands separators, where its groups say which signs those are."""
    found = _GROUPS.fullmatch(cell)
    if not found:
        return cell
    rest = found["rest"] or ""
    if rest and rest[0] == found["by"]:
        return cell
    whole = cell[: len(cell) - len(rest)].replace(found["by"], "")
    return whole + rest.replace(",", ".")
