"""How often somebody may ask: token buckets on the clock handed in, in this process's memory."""

from __future__ import annotations

from dataclasses import dataclass

from atalaia.clock import Clock

# Beyond so many askers the calm ones are forgotten; a full bucket remembers nothing anyway.
_ASKERS_MAX = 20_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limiter:
    """Allows `per_minute` in the long run and as many at once.

    The package `limits` reads the wall clock itself, which no test could hold.
    """

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._size = float(per_minute)
        self._per_s = per_minute / 60.0
        self._buckets: dict[str, _Bucket] = {}

    def take(self, who: str, amount: float = 1.0) -> float:
        """Take from the bucket of `who`; answer 0.0, or the seconds until there is enough again."""
        bucket = self._filled(who)
        if bucket.left < amount:
            return (amount - bucket.left) / self._per_s
        bucket.left -= amount
        return 0.0

    def wait_s(self, who: str) -> float:
        """Answer the seconds until one may ask, without asking."""
        bucket = self._filled(who)
        return 0.0 if bucket.left >= 1.0 else (1.0 - bucket.left) / self._per_s

    def _filled(self, who: str) -> _Bucket:
        now = self._clock.monotonic()
        bucket = self._buckets.get(who)
        if bucket is None:
            if len(self._buckets) >= _ASKERS_MAX:
                self._forget(now)
            bucket = self._buckets[who] = _Bucket(self._size, now)
            return bucket
        bucket.left = min(self._size, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        return bucket

    def _forget(self, now: float) -> None:
        full = [who for who, b in self._buckets.items() if b.left + (now - b.at) * self._per_s >= self._size]
        for who in full or list(self._buckets)[: _ASKERS_MAX // 2]:
            del self._buckets[who]
