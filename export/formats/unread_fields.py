"""Fields of a protobuf message that its reader here does not read: nobody knows what they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from google.protobuf.message import Message

Fields = Mapping[str, Set[str]]  # name of a message -> names of fields
NONE: Final[Fields] = {}


def unread_fields(
    message: Message, read: Fields, values: Fields = NONE, before: str = ""
) -> Iterator[str]:
    """The place of each field that is set and not read.

    Args:
        message: of a file.
        read: fields that are read, or that neither describe nor compute anything; a message that
            is not named here is read whole.
        values: fields of which a message has one; a second one is not read.
        before: place of the message.
    """
    from google.protobuf.message import Message

    kind = message.DESCRIPTOR.name
    if kind not in read:
        return
    name = getattr(message, "name", "")
    here = f"{before}{kind.removesuffix('Proto').lower()} " + (f"{name} " if name else "")
    count = 0
    for field, value in message.ListFields():
        count += field.name in values.get(kind, ())
        if field.name not in read[kind]:
            yield f"{here}{field.name}"
        elif count > 1:
            yield f"{here}{field.name}, a second value"
        elif field.message_type is not None:
            listed = [value] if isinstance(value, Message) else _all(value)
            for each in listed:
                yield from unread_fields(each, read, values, here)


def _all(repeated: Mapping[object, object] | list[Message]) -> list[Message]:
    from google.protobuf.message import Message

    found = repeated.values() if isinstance(repeated, Mapping) else repeated
    return [each for each in found if isinstance(each, Message)]


def unknown_bytes(message: Message) -> int:
    """How many bytes of fields that the message's own schema lacks were read, and are now gone."""
    known = int(message.ByteSize())
    message.DiscardUnknownFields()
    return known - int(message.ByteSize())
