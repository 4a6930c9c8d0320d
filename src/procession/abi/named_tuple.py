"""NamedTuple at the price of collections.namedtuple: made without a look at the types of its fields.

The type checker sees the standard library's. That compiles the type of each field, for nobody to ask for: the
fifty classes that every start makes take it twice as long.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    _NOT_TAKEN = frozenset(("__annotations__", "__module__"))

    class _NamedTupleMaker(type):
        """The class of NamedTuple alone: what is derived from that is a class of tuples."""

        def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(mcls, name, bases, namespace)
            fields = namespace.get("__annotations__", {})
            defaults = [namespace[field] for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            made.__annotations__ = fields
            for key, value in namespace.items():
                if key not in fields and key not in _NOT_TAKEN:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleMaker):
        """What a class derives from to be one of tuples whose fields have names."""
