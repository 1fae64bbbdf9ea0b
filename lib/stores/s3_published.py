"""What people find under one output name in the bucket, made equal to the record that was committed last.

A bucket has no lock and no rename. What there is: `.published.json` beside the files, the manifest, which says what
the name shows (each file, and where its bytes stand in the store), of which commit, and what of ours may still lie
there. It is only ever written on the condition that it is what was read, so publishers agree on its order; and every
publisher, also one that comes late, makes the files equal to the manifest and looks at it once more before it is done.
So whoever copies an older file over a newer one finds the newer manifest and puts the newer file back.

A file is ours if the digest that we wrote beside it says so; what anybody else put there is overwritten if the record
has that name, as on a disk, and otherwise left alone. `lib.stores.s3` calls it, in threads.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from lib.errors import PermanentError, TemporaryError
from lib.failpoints import reach
from lib.stores.published import MANIFEST, files_of, is_ours, order_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.stores.published import Order
    from lib.stores.s3_client import Bucket, Held

TRIES: Final = 8
"""Each lost race means that another publisher got on; so many in a row are none."""

LARGEST_COPY_BYTES: Final = 5 << 30
"""What the store copies in one request; larger files are copied in parts of a fifth of it."""


class _MovedError(Exception):
    """Something under the name changed while it was being published."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a published file stand, and what they must be."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a name shows: `shown` of the commit `order`; `ours` are digests of files that may still lie there."""

    order: Order = ()
    shown: Mapping[str, Source] = field(default_factory=dict)
    ours: Mapping[str, list[str]] = field(default_factory=dict)
    etag: str | None = None

    def announcing(self, shown: Mapping[str, Source], order: Order) -> Manifest:
        """The same with other files to show, beside which the earlier ones may still lie."""
        names = {*self.ours, *shown}
        added = {name: {shown[name].sha256} if name in shown else set[str]() for name in names}
        ours = {name: sorted({*self.ours.get(name, ()), *added[name]}) for name in sorted(names)}
        return replace(self, order=order, shown=dict(shown), ours=ours)

    def settled(self) -> Manifest:
        """The same with nothing left but what it shows."""
        return replace(self, ours={name: [source.sha256] for name, source in sorted(self.shown.items())})


@dataclass(frozen=True, slots=True)
class PublishedName:
    """One output name in a bucket. `store` is what the key of every stored file begins with."""

    bucket: Bucket
    prefix: str
    output_name: str
    store: str
    largest_copy: int = LARGEST_COPY_BYTES

    def publish(self, shown: Mapping[str, Source], order: Order, check_wanted: Callable[[], None]) -> bool:
        """Make the name show these, or, when something later was committed, exactly that: then False.

        `check_wanted` raises when the caller has given up.

        Raises:
            PermanentError: a stored file is gone or is not what its record says.
            TemporaryError: worth another try.
        """
        for _ in range(TRIES):
            check_wanted()
            seen = self._read()
            with contextlib.suppress(_MovedError):
                if seen.order <= order:
                    self._show(seen, seen.announcing(shown, order), {}, check_wanted)
                    return True
                # What this one may have put there after the later one was done goes too. That the later one lacks
                # a file of its own is not this one's trouble.
                with contextlib.suppress(PermanentError):
                    self._show(seen, seen, shown, check_wanted)
                return False
        raise TemporaryError(
            f"others were publishing {self.output_name} all the time", hint="this is tried again in a while"
        )

    def _show(
        self, seen: Manifest, wanted: Manifest, outdated: Mapping[str, Source], check_wanted: Callable[[], None]
    ) -> None:
        """From `seen` to `wanted`: announce it, copy, remove what is left over, and see that it still holds."""
        stored = {name: self._proven(name, source) for name, source in wanted.shown.items()}
        if wanted != seen:
            wanted = self._write(wanted)
        for name, source in wanted.shown.items():
            check_wanted()
            self._place(name, source, stored[name])
        reach("publish.settle")
        self._remove_leftovers(wanted.announcing(outdated, ()).ours, wanted.shown)
        final = wanted.settled()
        if final != wanted:
            self._write(final)
            return
        standing = self.bucket.head(self._key(MANIFEST))
        if standing is None or standing.etag != wanted.etag:
            raise _MovedError

    def _proven(self, name: str, source: Source) -> Held:
        held = self.bucket.head(source.key)
        if held is None:
            raise PermanentError(
                f"{self.bucket.uri(source.key)}, stored for {name} of {self.output_name}, is gone",
                hint="somebody removed it; run the job again with enqueue --replace",
            )
        if (held.bytes, held.sha256) != (source.bytes, source.sha256):
            raise PermanentError(
                f"the stored {name} of {self.output_name} is not what its record says",
                hint="somebody changed the store; run the job again with enqueue --replace",
            )
        return held

    def _place(self, name: str, source: Source, stored: Held) -> None:
        """Make the file under `name` hold the stored bytes."""
        key = self._key(name)
        there = self.bucket.head(key)
        if there is not None and (there.bytes, there.sha256) == (source.bytes, source.sha256):
            return
        reach("publish.rename")
        if stored.bytes > self.largest_copy:
            self._copy_in_parts(source, stored, key)
        elif not self.bucket.copy(source.key, stored, key, None if there is None else there.etag):
            raise _MovedError

    def _copy_in_parts(self, source: Source, stored: Held, key: str) -> None:
        upload_id = self.bucket.begin(key, source.sha256)
        step = max(self.largest_copy // 5, 1)
        try:
            parts = [
                self.bucket.copy_part(
                    source.key, stored, key, upload_id, number, first, min(first + step, stored.bytes) - 1
                )
                for number, first in enumerate(range(0, stored.bytes, step), start=1)
            ]
            self.bucket.complete(key, upload_id, parts, new=False)
        except BaseException:
            with contextlib.suppress(TemporaryError):
                self.bucket.abort(key, upload_id)
            raise

    def _remove_leftovers(self, ours: Mapping[str, list[str]], shown: Mapping[str, Source]) -> None:
        for name, digests in ours.items():
            if name in shown:
                continue
            there = self.bucket.head(self._key(name))
            if there is not None and there.sha256 in digests:
                self.bucket.delete(self._key(name), there.etag)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{self.output_name}/{name}"

    def _read(self) -> Manifest:
        """The manifest; an unreadable one counts as empty, so that nothing is removed on its word."""
        found = self.bucket.read(self._key(MANIFEST))
        if found is None:
            return Manifest()
        content, etag = found
        try:
            document = json.loads(content)
        except ValueError:
            return Manifest(etag=etag)
        shown = _sources(document.get("shown"), self.store) if isinstance(document, dict) else None
        if shown is None:
            return Manifest(etag=etag)
        return Manifest(order_of(document.get("order")), shown, files_of(document.get("files")), etag)

    def _write(self, manifest: Manifest) -> Manifest:
        document: dict[str, Any] = {
            "schema_version": 1,
            "output_name": self.output_name,
            "order": list(manifest.order),
            "shown": {name: asdict(source) for name, source in manifest.shown.items()},
            "files": dict(manifest.ours),
        }
        content = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
        etag = self.bucket.replace(self._key(MANIFEST), content, manifest.etag)
        if etag is None:
            raise _MovedError
        return replace(manifest, etag=etag)


def _sources(written: object, store: str) -> dict[str, Source] | None:
    """The files of a manifest, which is not taken on trust: None if one has an odd name, or lies outside the store."""
    if not isinstance(written, dict):
        return None
    found: dict[str, Source] = {}
    for name, given in written.items():
        if not is_ours(name) or not isinstance(given, dict):
            return None
        key, size, sha256 = given.get("key"), given.get("bytes"), given.get("sha256")
        if (
            not isinstance(key, str)
            or not key.startswith(store)
            or type(size) is not int
            or not isinstance(sha256, str)
        ):
            return None
        found[name] = Source(key, size, sha256)
    return found
