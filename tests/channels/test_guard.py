"""The guard: each range that must not be reached, in each notation, what is public, and what the setting allows."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from notify.channels.guard import Blocked, check_host, lookup, networks, refuse
from notify.errors import ConfigError

BLOCKED = [
    ("0.0.0.0", "unspecified"),
    ("0.255.255.255", "unspecified"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("100.100.100.200", "cloud metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "cloud metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.192", "cloud metadata"),
    ("192.0.0.8", "reserved"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.0.1", "private"),
    ("192.168.255.255", "private"),
    ("198.18.0.1", "benchmark"),
    ("198.19.255.255", "benchmark"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "IPv4-mapped"),
    ("::ffff:8.8.8.8", "IPv4-mapped"),
    ("::ffff:0:127.0.0.1", "IPv4-translated"),
    ("64:ff9b::127.0.0.1", "NAT64 of loopback"),
    ("64:ff9b::10.0.0.1", "NAT64 of private"),
    ("64:ff9b::169.254.169.254", "NAT64 of cloud metadata"),
    ("64:ff9b:1::1", "NAT64"),
    ("64:ff9b:1:ffff::8.8.8.8", "NAT64"),
    ("64:ff9b:2::1", "reserved"),
    ("100::1", "discard"),
    ("1000::1", "reserved"),
    ("2001::1", "Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:2::1", "benchmark"),
    ("2001:10::1", "reserved"),
    ("2001:20::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("2600::5efe:10.0.0.1", "ISATAP of private"),
    ("2600::200:5efe:127.0.0.1", "ISATAP of loopback"),
    ("3fff::1", "documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fc00::1", "private"),
    ("fd12:3456::1", "private"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fd20:ce::254", "cloud metadata"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "scoped"),
    ("fe80::1%2", "scoped"),
    ("2600::1%eth0", "scoped"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "198.17.255.255",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2600::5efe:8.8.8.8",
    "3ffe::1",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize(("address", "kind"), BLOCKED)
def test_what_must_not_be_reached_is_blocked(address: str, kind: str) -> None:
    with pytest.raises(Blocked) as blocked:
        refuse(address, ())
    assert (blocked.value.address, blocked.value.kind) == (address, kind)
    assert address in str(blocked.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address: str) -> None:
    refuse(address, ())
    refuse(address, networks("10.0.0.0/8"))


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "1.2.3.4.5", "[::1]"]
)
def test_what_is_no_plain_address_is_blocked(address: str) -> None:
    with pytest.raises(Blocked, match="no IP address"):
        refuse(address, networks("0.0.0.0/0, ::/0"))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "192.168.0.0/24,127.0.0.1"),
        ("169.254.169.254", "169.254.169.254/32"),
        ("::1", "::1"),
        ("fd12::1", "fc00::/7"),
        ("fe80::1%eth0", "fe80::/10"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "::ffff:0:0/96"),
        ("64:ff9b::10.1.2.3", "10.1.0.0/16"),
        ("2002:7f00:1::", "2002::/16"),
    ],
)
def test_an_allowed_network_wins(address: str, allowed: str) -> None:
    refuse(address, networks(allowed))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.2.0.1", "10.1.0.0/16"),
        ("127.0.0.2", "127.0.0.1"),
        ("::127.0.0.1", "127.0.0.0/8"),
        ("2002:7f00:1::", "127.0.0.0/8"),
        ("2600::5efe:10.1.0.1", "10.1.0.0/16"),
        ("::1", "0.0.0.0/0"),
        ("127.0.0.1", "::/0"),
    ],
)
def test_an_allowed_network_allows_nothing_else(address: str, allowed: str) -> None:
    with pytest.raises(Blocked):
        refuse(address, networks(allowed))


def test_the_setting_is_networks_with_commas() -> None:
    assert networks("") == networks(" , ") == ()
    assert [str(one) for one in networks("10.1.0.0/16, fd00::/8,127.0.0.1,")] == [
        "10.1.0.0/16",
        "fd00::/8",
        "127.0.0.1/32",
    ]


@pytest.mark.parametrize("text", ["localhost", "10.1.0.0/33", "10.1.2.3/16", "10.1.0.0/16 10.2.0.0/16", "10.1"])
def test_a_wrong_setting_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_OUTSIDE_ALLOW") as refused:
        networks(text)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001", "::1", "fe80::1", "0"],
)
def test_a_host_is_judged_by_what_the_system_makes_of_it(host: str) -> None:
    with pytest.raises(Blocked):
        check_host(host, 443, ())
    check_host(host, 443, networks("0.0.0.0/0, ::/0"))


@pytest.mark.parametrize("host", ["8.8.8.8", "134744072", "8.526344", "2606:4700:4700::1111"])
def test_a_public_host_in_any_notation_may_be_reached(host: str) -> None:
    check_host(host, 443, ())


def test_localhost_is_blocked() -> None:
    with pytest.raises(Blocked, match="loopback"):
        check_host("localhost", 80, ())


@pytest.mark.parametrize(
    "found",
    [
        [("8.8.8.8", 80), ("10.0.0.1", 80)],
        [("10.0.0.1", 80), ("8.8.8.8", 80)],
        [("2606:4700::1", 80, 0, 0), ("8.8.8.8", 80), ("::1", 80, 0, 0)],
    ],
)
def test_one_refused_result_is_enough(found: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, found)
    with pytest.raises(Blocked):
        check_host("two.example", 80, ())


def test_a_scope_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, [("fe80::1", 80, 0, 2), ("fe80::1%eth0", 80, 0, 2), ("2600::1", 80, 0, 0)])
    assert lookup("scoped.example", 80) == ["fe80::1%2", "fe80::1%eth0", "2600::1"]


@pytest.mark.parametrize("host", ["a..example", "a" * 64 + ".example"])
def test_what_cannot_be_a_name_is_not_found(host: str) -> None:
    with pytest.raises(socket.gaierror):
        check_host(host, 80, ())


def _resolve_to(monkeypatch: pytest.MonkeyPatch, found: list[tuple[Any, ...]]) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET6 if ":" in where[0] else socket.AF_INET, 1, 6, "", where) for where in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
