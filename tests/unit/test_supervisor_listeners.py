"""`gateway.supervisor.listeners`: real sockets on loopback."""

from __future__ import annotations

import socket

import pytest

from gateway.supervisor.listeners import Adopted, ListenError, open_listeners


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_port_0_gives_every_worker_a_socket_on_one_port() -> None:
    listeners = open_listeners(["127.0.0.1:0"], 3)
    try:
        (listener,) = listeners.all
        assert len({sock.getsockname() for sock in listener.sockets}) == 1
        assert listeners.addresses == (f"127.0.0.1:{listener.sockets[0].getsockname()[1]}",)
        assert len({listeners.for_worker(n) for n in range(3)}) == 3
        assert not any(sock.getblocking() or sock.get_inheritable() for sock in listener.sockets)
        with socket.create_connection(("127.0.0.1", port_of(listener.address))):
            pass
    finally:
        listeners.close()


def test_several_addresses_are_one_descriptor_each_per_worker() -> None:
    listeners = open_listeners(["127.0.0.1:0", "[::1]:0"], 2)
    try:
        assert [len(listeners.for_worker(n)) for n in range(2)] == [2, 2]
        assert listeners.addresses[1].startswith("[::1]:")
    finally:
        listeners.close()


def test_both_families_may_share_a_port() -> None:
    first = open_listeners(["0.0.0.0:0"], 1)
    port = port_of(first.addresses[0])
    try:
        open_listeners([f"[::]:{port}"], 1).close()
    finally:
        first.close()


def test_a_second_gateway_on_the_same_port_is_refused_although_the_kernel_would_share_it() -> None:
    first = open_listeners(["127.0.0.1:0"], 2)
    try:
        with pytest.raises(ListenError, match=r"cannot listen on 127\.0\.0\.1:\d+: another process listens there"):
            open_listeners([first.addresses[0]], 2)
    finally:
        first.close()


def test_a_failure_leaves_nothing_open() -> None:
    taken = open_listeners(["127.0.0.1:0"], 1)
    free = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
    free.close()
    try:
        with pytest.raises(ListenError):
            open_listeners([address, taken.addresses[0]], 2)
        open_listeners([address], 1).close()
    finally:
        taken.close()


@pytest.mark.parametrize(("before", "after", "each"), [(2, 4, 1), (4, 2, 2), (3, 2, 2), (1, 1, 1)])
def test_sockets_that_are_taken_over_are_used_and_others_bound_beside_them(before: int, after: int, each: int) -> None:
    first = open_listeners(["127.0.0.1:0"], before)
    taken = {first.addresses[0]: first.all[0].sockets}
    second = open_listeners([first.addresses[0]], after, Adopted(taken))
    try:
        assert second.addresses == first.addresses
        assert second.all[0].sockets[:before] == first.all[0].sockets
        assert [len(second.for_worker(n)) for n in range(after)] == [each] * after
        listening = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in second.all[0].sockets]
        assert listening == [1] * before + [0] * (len(listening) - before)  # the workers' to do
        used = [fd for n in range(after) for fd in second.for_worker(n)]
        assert len(set(used)) == len(used) == len(second.all[0].sockets)
    finally:
        second.close()


def test_port_0_is_the_port_that_was_bound_for_it_before() -> None:
    first = open_listeners(["127.0.0.1:0"], 2)
    bound = first.addresses[0]
    second = open_listeners(["127.0.0.1:0"], 2, Adopted({bound: first.all[0].sockets}, {"127.0.0.1:0": bound}))
    try:
        assert second.addresses == first.addresses
    finally:
        second.close()


def test_another_address_on_a_port_that_is_taken_over_is_no_conflict() -> None:
    first = open_listeners(["0.0.0.0:0"], 1)
    address = f"127.0.0.1:{port_of(first.addresses[0])}"
    try:
        with pytest.raises(ListenError):
            open_listeners([address], 1)
        open_listeners([address], 1, Adopted({first.addresses[0]: first.all[0].sockets})).close()
    finally:
        first.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("192.0.2.1:0", "no interface of this machine has that address"),
        ("127.0.0.1", "it is not host:port"),
        ("127.0.0.1:http", "it is not host:port"),
        ("127.0.0.1:70000", "it is not host:port"),
        ("no such host.invalid:80", "is not an address of this machine"),
    ],
)
def test_errors_name_the_address_and_what_to_do(address: str, words: str) -> None:
    with pytest.raises(ListenError, match=words) as caught:
        open_listeners([address], 1)
    assert address in str(caught.value)
