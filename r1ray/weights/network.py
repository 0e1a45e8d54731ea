"""Which of a machine's addresses other machines reach. Gloo by itself takes what the host name stands for, which on
many machines is 127.0.1.1, or an interface that the others do not see."""

from __future__ import annotations

import socket

import psutil


def own_address(master_address: str, master_port: int) -> str:
    """The address by which this machine reaches the master; the master's own there."""
    family = socket.AF_INET6 if ":" in master_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((master_address, master_port))  # sends nothing
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The name of the network interface that has an address of this machine."""
    held = psutil.net_if_addrs().items()
    return str(next(name for name, addresses in held if any(each.address == address for each in addresses)))
