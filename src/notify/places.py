"""Places for those whom nobody knows yet: some for all, and fewer for each address, as one host must not take all."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from notify.errors import TooManyRequests

# Of IPv6 one host has a whole network.
_IPV6_PREFIX = 64


class Places:
    """`most` in all, `most_each` of one address."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_address.total()

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Hold a place while the block lasts. Raises TooManyRequests."""
        if len(self) >= self._most:
            raise TooManyRequests("too many connections are waiting to be admitted")
        if self._by_address[address] >= self._most_each:
            raise TooManyRequests("too many connections of this address are waiting to be admitted")
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


def address_of(scope: Any) -> str:
    """The peer's address as the server tells it, which behind a trusted proxy is what the proxy says."""
    return _address(str(scope["client"][0])) if scope.get("client") else ""


@lru_cache(4096)
def _address(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a unix socket has none
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
