"""The pictures of an export by the names that its annotations give them."""

from mmvid.clips.masks.index import Place


class Pictures:
    """Pictures to be found by name; only what was listed is found, whatever a name says."""

    def __init__(self, places: list[Place]):
        self.places = places
        self.by_name: dict[str, list[Place]] = {}
        for place in places:
            self.by_name.setdefault(place.parts[-1], []).append(place)
        self.used: set[tuple[str, ...]] = set()

    def find(self, name: str, document: Place) -> Place | None:
        """The picture that a document calls `name`, a path or its last part; None where there is none.

        Of several with that name, it is the one with the most of the path, then the one nearest to the document.

        Raises:
            ValueError: if several are as near.
        """
        parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        there = self.by_name.get(parts[-1], []) if parts else []
        ranks = {
            place.parts: (_alike(parts[::-1], place.parts[::-1]), _alike(document.parts, place.parts))
            for place in there
        }
        best = [place for place in there if ranks[place.parts] == max(ranks.values())]
        if len(best) > 1:
            raise ValueError(f"{document.file}: {name!r} may be {best[0].file} or {best[1].file}; rename one")
        for place in best:
            self.used.add(place.parts)
        return best[0] if best else None

    def unused(self) -> list[Place]:
        """The pictures that were never asked for."""
        return [place for place in self.places if place.parts not in self.used]


def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many parts are the same from the start on."""
    count = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        count += 1
    return count
