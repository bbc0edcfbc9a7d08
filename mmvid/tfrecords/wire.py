"""The protobuf wire format: tags, varints, lengths. Places are byte indices into one record.

A tag is `field number << 3 | wire type`; the types are 0 varint, 1 eight bytes, 2 length-delimited, 3 and 4
the begin and end of a group, 5 four bytes. Functions let IndexError out when a number begins beyond the
record, which the callers here turn into `MalformedExample`.

Source: the protobuf encoding guide.
"""

from collections.abc import Iterator

_LONGEST_VARINT = 10
_DEEPEST_GROUP = 100


class MalformedExample(ValueError):
    """Bytes that are no Example or SequenceExample, or that hold another kind of value than was asked for.

    Attributes:
        place: the byte of the record at which it goes wrong.
    """

    def __init__(self, place: int, what: str):
        super().__init__(place, what)  # both, so that it survives pickling
        self.place, self.what = place, what

    def __str__(self) -> str:
        return f"malformed Example at byte {self.place} of the record: {self.what}"


def varint(data: bytes, place: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and the place after it; bits beyond the 64th are dropped."""
    value, begin = 0, place
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, place
    raise MalformedExample(begin, f"a number is longer than {_LONGEST_VARINT} bytes")


def span(data: bytes, place: int, end: int) -> tuple[int, int]:
    """Start and stop of length-delimited content whose length begins at `place`, within `end`."""
    size = data[place]
    start = place + 1
    if size > 127:
        size, start = varint(data, place)
    if start + size > end:
        raise MalformedExample(place, f"a field of {size} bytes runs past the {end - start} there are")
    return start, start + size


def fields(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: tag, and start and stop of the content.

    Raises:
        MalformedExample: at the first byte that is not of the wire format.
    """
    try:
        while place < end:
            tag, start = varint(data, place)
            if tag & 7 == 2 and 7 < tag < 1 << 32:
                start, place = span(data, start, end)
            else:
                place = skip(data, tag, start, end)
            yield tag, start, place
    except IndexError:
        raise MalformedExample(end, "a field runs past the end") from None


def skip(data: bytes, tag: int, place: int, end: int) -> int:
    """The place after a field's content, whatever the field is.

    Inside a group, field number 0 is passed over, as protobuf does; elsewhere it is refused, as protobuf does too.
    """
    begin = place
    groups: list[int] = []
    while True:
        number, kind = tag >> 3, tag & 7
        if number >= 1 << 29 or (number == 0 and not groups):
            raise MalformedExample(begin, f"field number {number} is not between 1 and {(1 << 29) - 1}")
        if kind == 0:
            place = varint(data, place)[1]
        elif kind == 1:
            place += 8
        elif kind == 2:
            place = span(data, place, end)[1]
        elif kind == 3:
            groups.append(number)
        elif kind == 4 and groups and groups[-1] == number:
            groups.pop()
        elif kind == 5:
            place += 4
        else:
            raise MalformedExample(begin, f"wire type {kind} has no meaning here")
        if place > end or len(groups) > _DEEPEST_GROUP:
            raise MalformedExample(begin, "a field runs past the end" if place > end else "groups are nested too deep")
        if not groups:
            return place
        tag, place = varint(data, place)
