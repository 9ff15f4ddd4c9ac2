"""JSON documents changed at random, for whoever must read or refuse them."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any


def places(entry: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, itself excluded."""
    keys = entry if isinstance(entry, dict) else range(len(entry) if isinstance(entry, list) else 0)
    inner = [spot for key in keys for spot in places(entry[key], (*path, key))]
    return [path, *inner] if path else inner


def holder(document: Any, path: tuple[Any, ...]) -> Any:
    """What holds the entry at a place."""
    for key in path[:-1]:
        document = document[key]
    return document


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another entry at a place."""
    mutant = json.loads(json.dumps(document))
    holder(mutant, path)[path[-1]] = value
    return mutant


def mutated(document: Any, random: Random, change: Callable[[Any, Any], None]) -> Any:
    """A copy in which `change(holder, key)` was called at one to three places."""
    document = json.loads(json.dumps(document))
    for _ in range(random.choice([1, 1, 2, 3])):
        path = random.choice(places(document))
        change(holder(document, path), path[-1])
    return document
