"""What plait.core does not offer yet, asked for by name so that a clear error comes instead of an AttributeError."""

from __future__ import annotations

from typing import Any

import plait.core as pc


def core_function(name: str) -> Any:
    """The function `name` of plait.core, "fast.x" for one in a submodule.

    Errors: NotImplementedError when this version has none.
    """
    found: Any = pc
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise NotImplementedError(f"plait.core.{name} is not part of this version of plait yet")
    return found
