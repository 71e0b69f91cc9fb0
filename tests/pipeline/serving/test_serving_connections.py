"""Clients that are slow, many or wrong, against the REST port alone: what answers needs no model here."""

import asyncio
import gc
import json
import random
import socket
import struct
import weakref
from collections import Counter
from dataclasses import dataclass, field

import pytest

from pipeline.serving import connection as connection_module
from pipeline.serving import listener as listener_module
from pipeline.serving.connection import State
from pipeline.serving.limits import RequestLimits
from pipeline.serving.listener import Listener
from pipeline.serving.messages import Response, error_response
from tests.pipeline.serving.answers import split_answers

ASK = b"POST /ask HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
PART = b"POST /ask HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Echo:
    """Answers with what it was asked; `/wait` once it is let go, `/large` with megabytes."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list = field(default_factory=list)

    async def __call__(self, request, crowded):
        self.asked.append(request)
        if crowded and request.target != "/healthz":
            return error_response(503, "too many connections; try again later")
        if request.target == "/wait":
            await self.gate.wait()
        if request.target == "/fail":
            raise ZeroDivisionError
        if request.target == "/large":
            return Response(b"x" * 32_000_000)
        return Response(json.dumps([request.method, request.target, request.body.decode("latin-1")]).encode())


class Client:
    """A connection."""

    def __init__(self, reader, writer) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request=ASK):
        """Sends, and reads one answer: its status, headers and body."""
        self.writer.write(request)
        return await self.answer()

    async def answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:-1])
        return status, headers, await self.reader.readexactly(int(headers["Content-Length"]))

    async def rest(self) -> bytes:
        """All that still comes until the end."""
        return await asyncio.wait_for(self.reader.read(), 20)


@dataclass
class World:
    """A listener and its clients."""

    listener: Listener
    app: Echo
    port: int
    clients: list = field(default_factory=list)

    async def connect(self, first=b"") -> Client:
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port)))
        self.clients[-1].writer.write(first)
        return self.clients[-1]

    async def until(self, reached) -> None:
        async with asyncio.timeout(20):
            while not reached():
                await asyncio.sleep(0.005)


def run(scenario, seconds=40, **limits):
    """Runs a scenario with a listener."""

    async def body():
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        port = listening.getsockname()[1]
        world = World(Listener(listening, Echo(), RequestLimits(**limits)), None, port)
        world.app = world.listener._answer  # type: ignore[assignment]
        try:
            await asyncio.wait_for(scenario(world), seconds)
        finally:
            world.app.gate.set()
            for client in world.clients:
                client.writer.close()
            if not world.listener.draining:
                await world.listener.drain(0, 5)

    asyncio.run(body())


def test_bodies_that_do_not_arrive_are_no_requests():
    async def scenario(world):
        slow = [await world.connect(PART) for _ in range(60)]
        quick = await world.connect()
        assert (await quick.ask())[0] == 200
        assert [request.body for request in world.app.asked] == [b"{}"]
        # They end by themselves, each with the reason.
        status, headers, text = await slow[0].answer()
        assert (status, headers["Connection"]) == (408, "close")
        assert json.loads(text) == {"error": "the request did not arrive in time"}

    run(scenario, timeout=0.3)


def test_idle_connections_make_room_the_oldest_first(monkeypatch):
    monkeypatch.setitem(listener_module._PATIENCE, State.IDLE, 0)

    async def scenario(world):
        regular = await world.connect()
        for _ in range(3):
            assert (await regular.ask())[0] == 200
        clients = []
        for _ in range(12):
            client = await world.connect()
            assert (await client.ask())[0] == 200
            clients.append(client)
        for client in clients[:9]:
            assert await client.rest() == b""
        for client in (regular, *clients[9:]):
            assert (await client.ask())[0] == 200

    run(scenario, max_connections=4)


def test_a_byte_now_and_then_keeps_no_place(monkeypatch):
    monkeypatch.setitem(listener_module._PATIENCE, State.BODY, 0)

    async def scenario(world):
        slow = [await world.connect(PART) for _ in range(4)]
        here = world.listener._connections
        await world.until(lambda: [each.state for each in here] == [State.BODY] * 4)
        touched, held = [each.touched for each in here], sum(each.held for each in here)
        for more in range(4, 24, 4):
            for client in slow:
                client.writer.write(b"a")
            await world.until(lambda more=more: sum(each.held for each in here) == held + more)
        assert [each.touched for each in here] == touched
        assert (await (await world.connect()).ask())[1].get("Connection") is None

    run(scenario, max_connections=4)


def test_a_request_that_this_process_has_not_read_yet_keeps_its_connection(monkeypatch):
    monkeypatch.setitem(listener_module._PATIENCE, State.IDLE, 0)

    async def scenario(world):
        unread, idle = await world.connect(), await world.connect()
        await world.until(lambda: len(world.listener._connections) == 2)
        unread.writer.write(ASK)
        assert world.listener._make_room(None)  # before the loop has had a turn
        assert (await unread.answer())[0] == 200
        assert await idle.rest() == b""

    run(scenario, max_connections=2)


def test_beyond_the_limit_a_client_is_told_and_watchers_are_answered():
    async def scenario(world):
        busy = [await world.connect(b"GET /wait HTTP/1.1\r\n\r\n") for _ in range(4)]
        await world.until(lambda: len(world.app.asked) == 4)
        status, headers, text = await (await world.connect()).ask()
        assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
        assert json.loads(text) == {"error": "too many connections; try again later"}
        assert (await (await world.connect()).ask(HEALTH))[0] == 200
        world.app.gate.set()
        for client in busy:
            assert (await client.answer())[0] == 200

    run(scenario, max_connections=4)


def test_a_thousand_at_once_are_all_answered():
    async def scenario(world):
        async def one():
            client = await world.connect()
            status, headers, _ = await client.ask()
            client.writer.close()
            return status, headers.get("Retry-After")

        assert set(await asyncio.gather(*(one() for _ in range(400)))) == {(200, None)}

    run(scenario, max_connections=64)


def test_no_descriptors_is_no_busy_loop(monkeypatch, caplog):
    async def scenario(world):
        real, calls = world.listener._socket, []

        class Full:
            def accept(self):
                calls.append(1)
                if len(calls) < 5:
                    raise OSError(24, "Too many open files")
                return real.accept()

            def __getattr__(self, name):
                return getattr(real, name)

        world.listener._socket = Full()
        assert (await (await world.connect()).ask())[0] == 200
        assert 5 <= len(calls) < 20

    monkeypatch.setattr(listener_module, "_RETRY_SECONDS", 0.01)
    run(scenario)
    assert caplog.text.count("Too many open files") == 1


def test_answers_that_nobody_reads_are_given_up(monkeypatch):
    async def scenario(world):
        deaf = await world.connect(b"GET /large HTTP/1.1\r\n\r\n")
        await world.until(lambda: world.app.asked)
        await world.until(lambda: not world.listener._connections)
        assert len(await deaf.rest()) < 32_000_000

    monkeypatch.setattr(connection_module, "_SLOWEST_READER", 1e9)
    # StreamReader reads ahead; what it does not keep, nobody reads.
    run(scenario, timeout=0.3)


def test_memory_is_for_bodies_that_go_on(monkeypatch):
    monkeypatch.setattr(RequestLimits, "max_held_bytes", 1_000_000)
    monkeypatch.setattr(listener_module, "_STALLED_SECONDS", 0.0)

    async def scenario(world):
        head = b"POST /ask HTTP/1.1\r\nContent-Length: 400000\r\n\r\n"
        stalled = [await world.connect(head + b"a" * 300_000) for _ in range(3)]
        await world.until(lambda: world.listener.held == 900_000)
        honest = await world.connect()
        assert (await honest.ask(head + b"b" * 400_000))[0] == 200
        # The first of the three went for it; small bodies are never in question.
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await stalled[0].answer()
        assert world.listener.held == 600_000
        assert (await honest.ask())[0] == 200

    run(scenario)


def test_what_came_of_a_body_goes_with_its_connection():
    """At once: in a process with TensorFlow the collector of cycles may not look at it for minutes."""

    async def scenario(world):
        client = await world.connect(PART)
        await world.until(lambda: [one.state for one in world.listener._connections] == [State.BODY])
        connection = weakref.ref(next(iter(world.listener._connections)))
        client.writer.transport.abort()
        await world.until(lambda: not world.listener._connections)
        await world.until(lambda: connection() is None)
        assert world.listener.held == 0

    gc.collect()
    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()


def test_a_client_that_is_gone_costs_nothing():
    async def scenario(world):
        gone = await world.connect(b"GET /wait HTTP/1.1\r\n\r\n")
        await world.until(lambda: world.app.asked)
        linger = struct.pack("ii", 1, 0)  # a reset: who only has said all may still read
        gone.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        gone.writer.transport.abort()
        await world.until(lambda: not world.listener._connections)
        assert world.listener.held == 0

    run(scenario)


def test_pipelined_requests_are_answered_in_order():
    async def scenario(world):
        count = 200
        asked = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(count))
        client = await world.connect(asked)
        for number in range(count):
            assert json.loads((await client.answer())[2]) == ["GET", f"/{number}", ""]

    run(scenario)


CHUNKED = b"POST /ask HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (ASK * 3, [200] * 3),
        (CHUNKED + ASK, [200, 200]),
        (b"GET / HTTP/1.1\r\n" + UPGRADE + ASK, [200, 200]),
        (ASK.replace(b"\r\n\r\n", b"\r\n" + UPGRADE) + ASK, [200, 200]),
        (b"POST /ask HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", [200]),
        (b"GET /a HTTP/1.0\r\n\r\n" + ASK, [200]),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + ASK, [200, 200]),
        (b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n" + ASK, [200]),
        (ASK + b"nonsense\r\n\r\n" + ASK, [200, 400]),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", [400]),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", [200]),
        (b"GET / HTTP/9.9\r\n\r\n", [400]),
        (b"BREW / HTTP/1.1\r\n\r\n", [400]),
        (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", [400]),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", [414]),
        (b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 70_000 + b"\r\n\r\n", [431]),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n", [431]),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", [400]),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", [400]),
        (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", [400]),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", [400]),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", [400]),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [400]),
        (ASK + b"GET / HT", [200, 400]),
        (ASK + b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", [200, 400]),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", [413]),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d1\r\n" + b"a" * 2001 + b"\r\n", [413]),
        (b"GET /fail HTTP/1.1\r\n\r\n" + ASK, [500, 200]),
    ],
)
def test_every_layer_answers_in_json(sent, statuses):
    answers = []

    async def scenario(world):
        client = await world.connect(sent)
        client.writer.write_eof()
        answers.extend(split_answers(await client.rest()))

    run(scenario, max_body_bytes=1000)
    assert [status for status, _ in answers] == statuses
    for status, text in answers:
        assert (status == 200) == (list(json.loads(text)) != ["error"])


def test_a_head_has_no_body_and_its_length():
    async def scenario(world):
        client = await world.connect(b"HEAD /abc HTTP/1.1\r\n\r\n" + b"GET /fail HTTP/1.1\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 20\r\n" in head
        assert (await client.answer())[0] == 500

    run(scenario)


def test_draining_answers_what_was_accepted_and_says_that_it_was_the_last():
    async def scenario(world):
        idle, working, arriving = await world.connect(), await world.connect(), await world.connect(PART)
        assert (await idle.ask())[1].get("Connection") is None
        working.writer.write(b"GET /wait HTTP/1.1\r\n\r\n")
        await world.until(lambda: len(world.app.asked) == 2)
        waiting = await world.connect(ASK)  # not yet accepted, perhaps
        draining = asyncio.create_task(world.listener.drain(0.3, 10))
        await world.until(lambda: world.listener.draining)
        with pytest.raises(ConnectionRefusedError):
            await world.connect()
        for client, sent in ((waiting, b""), (idle, ASK), (arriving, b"b" * 99)):
            status, headers, _ = await client.ask(sent)
            assert (status, headers["Connection"]) == (200, "close")
            client.writer.close()
        world.app.gate.set()
        status, headers, _ = await working.answer()
        assert (status, headers["Connection"]) == (200, "close")
        working.writer.close()
        await asyncio.wait_for(draining, 5)

    run(scenario)


def test_draining_ends_idle_connections_and_in_the_end_all():
    async def scenario(world):
        idle, busy = await world.connect(), await world.connect(b"GET /wait HTTP/1.1\r\n\r\n")
        await idle.ask()
        await world.until(lambda: len(world.app.asked) == 2)
        await asyncio.wait_for(world.listener.drain(0.05, 0.3), 5)
        assert await idle.rest() == b""
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await busy.answer()

    run(scenario)


SEEDS = [ASK, ASK + HEALTH, CHUNKED, PART + b"a" * 99, b"GET /a HTTP/1.1\r\n" + UPGRADE, ASK * 3]


def mutated(rng) -> bytes:
    """A request, or several, with a few bytes that are not right."""
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice([b"\0", b"\r", b"\n", b"\r\n\r\n", b":", b" ", b"\xff", b"9" * 30])
            case 1:
                del data[at : at + rng.randrange(9)]
            case 2:
                data[at:at] = data[: rng.randrange(len(data) + 1)]
            case _:
                data[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(data)


@pytest.mark.parametrize("count", [1_500, pytest.param(100_000, marks=pytest.mark.slow)])
def test_bytes_that_are_hardly_http(count, caplog):
    rng = random.Random(11)  # noqa: S311 - repeatable, not secret
    statuses = Counter()

    async def scenario(world):
        honest = await world.connect()

        async def one():
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            sent = mutated(rng)
            for at in range(0, len(sent), 50):
                writer.write(sent[at : at + 50])
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            if writer.can_write_eof():
                writer.write_eof()
            try:
                for status, text in split_answers(await asyncio.wait_for(reader.read(), 20)):
                    statuses[status] += 1
                    assert status in (200, 400, 413, 414, 431), (sent, text)
                    assert status == 200 or list(json.loads(text)) == ["error"]
            finally:
                writer.close()

        for number in range(0, count, 20):
            await asyncio.gather(*(one() for _ in range(20)))
            if number % 200 == 0:
                assert json.loads((await honest.ask())[2]) == ["POST", "/ask", "{}"]
        await world.until(lambda: len(world.listener._connections) == 1)
        assert world.listener.held == 0

    run(scenario, seconds=600)
    assert statuses[200] > count / 4
    assert statuses[400] > count / 10
    assert caplog.text == ""
