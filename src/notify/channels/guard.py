"""Which addresses may be reached from inside: whoever registers a URL must not call what only this machine may call.

`refuse` judges one address, and belongs where a connection is made: a name may lead elsewhere at each lookup.
`check_host` judges a name before another library looks it up again, which is the best that can be done there.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from notify.errors import ConfigError

Network = IPv4Network | IPv6Network

# Spelled out, as what `ipaddress` calls global differs between releases of Python. The first that fits gives the name.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("169.254.169.254/32", "cloud metadata"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("192.0.0.192/32", "cloud metadata"),
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmark"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("fd00:ec2::254/128", "cloud metadata"),
        ("fd20:ce::254/128", "cloud metadata"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001:2::/48", "benchmark"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Where every IPv4 server is found in networks that have IPv6 alone, so judged by that server's own address.
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


class Blocked(Exception):
    """An address must not be reached. `kind` says what it is, without the address, which an outsider need not learn."""

    def __init__(self, address: str, kind: str) -> None:
        super().__init__(f"{address} is not to be reached: {kind}")
        self.address = address
        self.kind = kind


def networks(text: str) -> tuple[Network, ...]:
    """The networks of the setting outside_allow, comma-separated; ConfigError for what is none."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(
            f"NOTIFY_OUTSIDE_ALLOW={text!r} should be networks with commas between, as 10.1.0.0/16: {error}"
        ) from error


def refuse(address: str, allowed: tuple[Network, ...]) -> None:
    """Raise Blocked unless the IP address is public or in an allowed network. A text that is no address is refused."""
    plain, _, scope = address.partition("%")
    try:
        ip = ip_address(plain)
    except ValueError:
        raise Blocked(address, "no IP address") from None
    if any(one in network for network in allowed for one in (ip, *_stands_for(ip))):
        return
    if kind := "scoped" if scope else _kind(ip):
        raise Blocked(address, kind)


def check_host(host: str, port: int, allowed: tuple[Network, ...]) -> None:
    """Look a name or a literal in any notation up, and raise Blocked if any of its addresses is refused.

    OSError where it cannot be looked up. Blocks, so it belongs in a thread.
    """
    for address in lookup(host, port):
        refuse(address, allowed)


def lookup(host: str, port: int, flags: int = 0) -> list[str]:
    """The addresses of a host, with the scope where one has it, in the system's order. Blocks; OSError if none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "no host name") from error
    return list(dict.fromkeys(_text(where) for *_, where in found))


def _text(where: tuple[object, ...]) -> str:
    scope = where[3] if len(where) == 4 else 0
    address = str(where[0])
    return f"{address}%{scope}" if scope and "%" not in address else address


def _stands_for(ip: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address that is reached when this one is called, if there is one."""
    if isinstance(ip, IPv6Address) and (ip.ipv4_mapped is not None or ip in _NAT64):
        return (_last_32_bits(ip),)
    return ()


def _kind(ip: IPv4Address | IPv6Address) -> str | None:
    """What it is if it must not be reached; None for a public one."""
    for network, kind in _REFUSED:
        if ip in network:
            return kind
    if isinstance(ip, IPv4Address):
        return None
    if ip in _NAT64:
        inner = _kind(_last_32_bits(ip))
        return inner and f"NAT64 of {inner}"
    if ip not in _GLOBAL_UNICAST:
        return "reserved"
    if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        inner = _kind(_last_32_bits(ip))
        return inner and f"ISATAP of {inner}"
    return None


def _last_32_bits(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)
