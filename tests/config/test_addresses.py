"""Where dropped addresses may point: to public hosts, and to what `hosts` names."""

from __future__ import annotations

import pytest

from daemon.config.addresses import NO_HOST, NOT_NAMED, PRIVATE, host_problem, usable_address, usable_host

PUBLIC = """
    example.com EXAMPLE.com. 8.8.8.8 [2606:4700::1111] 2606:4700::1111 64:ff9b::808:808 ::ffff:8.8.8.8
    bücher.example.de a_b.example.com localhost.example.com 10.example.com
"""
NOT_PUBLIC = """
    localhost LOCALHOST. a.localhost ⓛocalhost 127.0.0.1 127.0.0.1. 127.5.5.5 2130706433 0x7f.1 0x7f000001
    0177.0.0.1 017700000001 127.1 0 0x 1.2.3.4.5 127.0.0.01 \uff11\uff12\uff17.0.0.1 127。0。0。1
    %31%32%37.0.0.1 0.0.0.0
    10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 224.0.0.1 255.255.255.255
    ::1 [::1] :: ::ffff:127.0.0.1 ::ffff:7f00:1 ::7f00:1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::
    fe80::1%eth0 fe80::1%25eth0 fd00:ec2::254 fec0::1 ff02::1
    nas printer.local metadata.google.internal router.lan home.arpa
"""


@pytest.mark.parametrize("host", PUBLIC.split())
def test_a_public_host_may_be_asked(host: str) -> None:
    assert host_problem(host) is None


@pytest.mark.parametrize("host", NOT_PUBLIC.split())
def test_this_host_and_private_networks_may_not_in_any_spelling(host: str) -> None:
    assert host_problem(host) == PRIVATE
    assert host_problem(host, ["recordings.example.com"]) == NOT_NAMED


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("Recordings.Example.com.", "recordings.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("nas", "NAS"),
        ("10.0.0.1", "10.0.0.1"),
        ("FD07:0::5", "[fd07::5]"),
    ],
)
def test_what_hosts_names_may_be_asked_and_nothing_else(host: str, allowed: str) -> None:
    assert host_problem(host, ["x.example", usable_host(allowed)]) is None
    assert host_problem("example.com", [allowed]) == NOT_NAMED


@pytest.mark.parametrize(
    "host", ["https://a.example", "a.example/b", "a.example:80", "10.0.0.0/8", "*", "a b", "me@a", ""]
)
def test_what_no_host_is_equal_to_is_refused_in_the_configuration(host: str) -> None:
    with pytest.raises(ValueError, match="must be a host"):
        usable_host(host)


@pytest.mark.parametrize("between", ["%00", "%09", "%23", "%2f", "%3F", "%5c", ";", ",", ""])
def test_what_is_no_host_is_refused_also_below_one_that_hosts_names(between: str) -> None:
    host = f"evil.com{between}.example.com" if between else ".example.com"
    assert host_problem(host, ["*.example.com"]) == NO_HOST
    assert host_problem(host) == NO_HOST


@pytest.mark.parametrize(
    "written",
    [
        "https://example.com/My call.mp3?of=Bob&a b",
        "HTTPS://Example.COM/My call.mp3?of=Bob&a b",
        "https://example.com:443/My%20call.mp3?of=Bob&a%20b",
        "https://example.com/My call.mp3?of=Bob&a b#t=5?&x",
    ],
)
def test_one_address_is_the_same_in_every_spelling(written: str) -> None:
    assert usable_address(written, ()) == "https://example.com/My%20call.mp3?of=Bob&a%20b"
    assert usable_address("http://Example.com:443", ()) == "http://example.com:443"
