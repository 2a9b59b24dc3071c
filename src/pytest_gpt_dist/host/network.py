"""By which of its interfaces this machine reaches another one."""

import socket

import psutil

_ANY_PORT = 9


def address_towards(host: str) -> str | None:
    """Return this machine's own address on the way to a host; None where there is no way. Nothing is sent."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(address)
                found: str = probe.getsockname()[0]
                return found
    except OSError:
        pass
    return None


def interface_of(address: str) -> str | None:
    """Return the name of the interface that has an address; None where none has."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == address for each in addresses):
            return name
    return None


def interface_towards(host: str) -> str | None:
    """Return the name of the interface by which this machine reaches a host; None where that is unknown."""
    address = address_towards(host)
    return None if address is None else interface_of(address)
