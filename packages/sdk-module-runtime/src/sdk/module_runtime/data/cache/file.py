"""A cache in a folder, for as many processes as like. An entry is a file that is there whole or not at all.

``FOLDER/NAMESPACE-DIGEST/ab/cdef…`` is named by the SHA-256 of the key and begins with a digest of what follows, so a
file that a power cut tore is no entry. Changes take the namespace's file lock; reads need none. ``size`` counts what
the entries take, and never too little: it is raised before an entry is written and lowered after one is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import secrets
import struct
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sdk.module_runtime.data.cache.backend import Usage, added, next_token
from sdk.module_runtime.data.cache.errors import CacheConfigurationError, CacheConnectionError, CacheFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sdk.module_runtime.data.cache.config import CacheConfig

T = TypeVar("T")
_MAGIC: Final = b"SDKC1\n\x00\x00"
_HEAD: Final = struct.Struct(">8s16sdIQ")
"""Magic, digest of all that follows it, when it ends (infinity: never), and the lengths of key and value."""
_COUNTER: Final = struct.Struct(">Q")
_POLICIES: Final = frozenset({"LRU", "FIFO", "None"})
_THREADS: Final = 4
_ROOM: Final = 0.9
"""How full a cache is once it has evicted; to look at every file for each new entry would be slow."""


class _Entry(NamedTuple):
    key: str
    value: bytes
    end: float


class FileBackend:
    def __init__(self, config: CacheConfig, namespace: str, wall: Callable[[], float]) -> None:
        if config.file_path is None:
            raise CacheConfigurationError("a cache of type File needs a file_path, the folder to keep it in")
        if config.policy not in _POLICIES:
            raise CacheConfigurationError(f"a cache of type File has no policy {config.policy}; use LRU, FIFO or None")
        self._policy, self._limit, self._wall = config.policy, config.max_size_bytes, wall
        self._folder = Path(config.file_path) / sha256(namespace.encode()).hexdigest()[:32]
        try:
            (self._folder / "new").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CacheConfigurationError(f"the folder {self._folder} cannot be made: {error.strerror}") from error
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="file-cache")
        self._evicted = 0

    async def get(self, key: str) -> bytes | None:
        return await self._in_thread(lambda: self._get(key))

    async def set(self, key: str, value: bytes, ttl: float | None) -> None:
        await self._changing(lambda: self._write(key, value, self._end(ttl)))

    async def delete(self, key: str) -> bool:
        return await self._changing(lambda: self._delete(key))

    async def exists(self, key: str) -> bool:
        return await self._in_thread(lambda: self._read(self._path(key)) is not None)

    async def set_nx(self, key: str, value: bytes, ttl: float | None) -> bool:
        def work() -> bool:
            if self._read(self._path(key)) is not None:
                return False
            self._write(key, value, self._end(ttl))
            return True

        return await self._changing(work)

    async def get_set(self, key: str, value: bytes, ttl: float | None) -> bytes | None:
        def work() -> bytes | None:
            old = self._read(self._path(key))
            self._write(key, value, self._end(ttl))
            return None if old is None else old.value

        return await self._changing(work)

    async def increment(self, key: str, delta: int, ttl: float | None) -> int:
        def work() -> int:
            old = self._read(self._path(key))
            value = added(None if old is None else old.value, delta)
            self._write(key, value, self._end(ttl) if old is None else old.end)
            return int(value)

        return await self._changing(work)

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None) -> None:
        def work() -> None:
            for key, value in items.items():
                self._write(key, value, self._end(ttl))

        await self._changing(work)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        return await self._in_thread(lambda: {key: value for key in keys if (value := self._get(key)) is not None})

    async def delete_many(self, keys: Sequence[str]) -> int:
        return await self._changing(lambda: sum([self._delete(key) for key in keys]))

    async def clear(self, group: str | None) -> None:
        def work() -> None:
            for path in self._files():
                entry = self._read(path, expired=True)
                if group is None or entry is None or entry.key.startswith(f"{group}:"):
                    self._unlink(path)

        await self._changing(work)

    async def lock(self, key: str, ttl: float) -> str | None:
        """A lock is an entry of a folder that nothing evicts."""

        def work() -> str | None:
            path, now = self._lock_path(key), self._wall()
            if self._read(path) is not None:
                return None
            fence, token = next_token(self._last_fence(), now)
            self._place(self._folder / "fence", b"%d" % fence)
            self._place(path, _packed(_Entry(key, token.encode(), now + ttl)))
            return token

        return await self._changing(work)

    async def unlock(self, key: str, token: str) -> bool:
        def work() -> bool:
            held = self._read(self._lock_path(key))
            if held is None or held.value != token.encode():
                return False
            self._lock_path(key).unlink()
            return True

        return await self._changing(work)

    async def usage(self) -> Usage:
        def work() -> Usage:
            sizes = [path.stat().st_size for path in self._files() if self._read(path) is not None]
            return Usage(len(sizes), sum(sizes), {"evictions": str(self._evicted)})

        return await self._changing(work)

    async def ping(self) -> None:
        await self._changing(lambda: None)

    async def close(self) -> None:
        self._threads.shutdown()

    def _get(self, key: str) -> bytes | None:
        path = self._path(key)
        entry = self._read(path)
        if entry is None:
            return None
        if self._policy == "LRU":
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                os.utime(path, ns=(int(self._wall() * 1e9), path.stat().st_mtime_ns))
        return entry.value

    def _read(self, path: Path, *, expired: bool = False) -> _Entry | None:
        """None too for a file that is no whole entry."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        entry = _unpacked(data)
        if entry is None or (entry.end <= self._wall() and not expired):
            return None
        return entry

    def _write(self, key: str, value: bytes, end: float) -> None:
        path, data = self._path(key), _packed(_Entry(key, value, end))
        if len(data) > self._limit:
            raise CacheFull(f"an entry of {len(data)} bytes is larger than the whole cache ({self._limit} bytes)")
        old = _size(path)
        used = self._used()
        if used - old + len(data) > self._limit:
            used = self._make_room(path, len(data) - old)
        self._set_used(used + len(data))
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._place(path, data)
        self._set_used(used + len(data) - old)

    def _place(self, path: Path, data: bytes) -> None:
        new = self._folder / "new" / secrets.token_hex(8)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        now = int(self._wall() * 1e9)
        os.utime(new, ns=(now, now))
        new.replace(path)

    def _make_room(self, keep: Path, more: int) -> int:
        """Delete what has expired or was torn, then the oldest, until ``more`` bytes fit; what is used then."""
        for left in (self._folder / "new").iterdir():  # of processes that were killed: we hold the lock
            left.unlink()
        found: list[tuple[int, int, Path]] = []
        for path in self._files():
            state = path.stat()
            if path != keep and self._read(path) is None:
                path.unlink()
            else:
                found.append((state.st_atime_ns if self._policy == "LRU" else state.st_mtime_ns, state.st_size, path))
        used = sum(size for _, size, _ in found)
        if used + more > self._limit and self._policy == "None":
            self._set_used(used)
            raise CacheFull("there is no room, and the policy None evicts nothing; delete entries")
        wanted = used if used + more <= self._limit else max(0, int(self._limit * _ROOM) - max(more, 0))
        for _, size, path in sorted(found):
            if used <= wanted:
                break
            if path != keep:
                path.unlink()
                used -= size
                self._evicted += 1
        self._set_used(used)
        return used

    def _delete(self, key: str) -> bool:
        path = self._path(key)
        was_there = self._read(path) is not None
        self._unlink(path)
        return was_there

    def _unlink(self, path: Path) -> None:
        size = _size(path)
        path.unlink(missing_ok=True)
        self._set_used(max(0, self._used() - size))

    def _used(self) -> int:
        path = self._folder / "size"
        data = path.read_bytes() if path.exists() else b""
        return int(_COUNTER.unpack(data)[0]) if len(data) == _COUNTER.size else 0

    def _set_used(self, used: int) -> None:
        descriptor = os.open(self._folder / "size", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, _COUNTER.pack(used), 0)
        finally:
            os.close(descriptor)

    def _files(self) -> Iterator[Path]:
        return self._folder.glob("[0-9a-f][0-9a-f]/*")

    def _path(self, key: str) -> Path:
        digest = sha256(key.encode()).hexdigest()
        return self._folder / digest[:2] / digest[2:]

    def _last_fence(self) -> int:
        """0 if a power cut tore the file; the next is not below the time, and so above what was given out."""
        path = self._folder / "fence"
        data = path.read_bytes() if path.exists() else b""
        return int(data) if data.isdigit() else 0

    def _lock_path(self, key: str) -> Path:
        return self._folder / f"lock-{sha256(key.encode()).hexdigest()}"

    def _end(self, ttl: float | None) -> float:
        return math.inf if ttl is None else self._wall() + ttl

    async def _changing(self, work: Callable[[], T]) -> T:
        return await self._in_thread(lambda: self._locked(work))

    def _locked(self, work: Callable[[], T]) -> T:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return work()
        finally:
            os.close(descriptor)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            raise CacheConnectionError(f"the folder {self._folder} cannot be used: {error.strerror}") from error


def _packed(entry: _Entry) -> bytes:
    key = entry.key.encode()
    tail = struct.pack(">dIQ", entry.end, len(key), len(entry.value)) + key + entry.value
    return _MAGIC + blake2b(tail, digest_size=16).digest() + tail


def _unpacked(data: bytes) -> _Entry | None:
    if len(data) < _HEAD.size:
        return None
    magic, digest, end, key_length, value_length = _HEAD.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEAD.size + key_length + value_length:
        return None
    if blake2b(memoryview(data)[24:], digest_size=16).digest() != digest:
        return None
    middle = _HEAD.size + key_length
    return _Entry(data[_HEAD.size : middle].decode(), data[middle:], end)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
