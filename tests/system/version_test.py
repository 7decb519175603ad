"""An engine and a library of different layouts or features (docs/segment.md, S-4), in real
processes: between them stands a translator that changes what one says of itself to the other.
"""

import array
import contextlib
import os
import shutil
import socket
import struct
import threading
import unittest

from share_test import Actor, BYTES, PROCESSED
from world import World, await_true, build_folder

HEADER = struct.Struct("<IIQII")
HELLO = 1
LAYOUT_AT, HELLO_FEATURES_AT, WELCOME_FEATURES_AT = 4, 96, 144
MOST_DESCRIPTORS = 64


class Translator:
    """Listens in front of an engine's socket; hands on every datagram with its descriptors."""

    def __init__(self, path, engine_path):
        self.engine_path = engine_path
        self.hello = self.welcome = lambda body: None
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self.listener.accept()
                engine = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                if engine.connect_ex(self.engine_path) != 0:
                    caller.close()
                    continue
                for ends in ((caller, engine, "hello"), (engine, caller, "welcome")):
                    threading.Thread(target=self.pump, args=ends, daemon=True).start()

    def pump(self, source, target, what):
        with contextlib.suppress(OSError):
            while True:
                room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
                data, extra, _, _ = source.recvmsg(1 << 20, room)
                if not data:
                    break
                descriptors = array.array("i")
                for _, _, content in extra:
                    descriptors.frombytes(content)
                data = bytearray(data)
                if HEADER.unpack_from(data)[1] == HELLO:
                    body = data[HEADER.size:]
                    getattr(self, what)(body)
                    data[HEADER.size:] = body
                socket.send_fds(target, [data], list(descriptors))
                for descriptor in descriptors:
                    os.close(descriptor)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other way's thread closes the other

    def close(self):
        self.listener.close()


def newer_layout(body):
    struct.pack_into("<I", body, LAYOUT_AT, struct.unpack_from("<I", body, LAYOUT_AT)[0] + 1)


def features(at, change):
    def edit(body):
        struct.pack_into("<Q", body, at, change(struct.unpack_from("<Q", body, at)[0]))
    return edit


class Versions(unittest.TestCase):
    def setUp(self):
        self.world = World(servers=1, slaves=0, secondaries=0)
        self.addCleanup(self.world.__exit__)
        self.program = self.world.folder / "share_program"
        shutil.copy(build_folder() / "tests" / "system" / "share_program", self.program)
        self.world.start_engine("s1")
        self.world.await_up("s1")
        self.between = str(self.world.folder / "between.sock")
        self.translator = Translator(self.between, self.world.socket("s1"))
        self.addCleanup(self.translator.close)

    def actor(self, path=None):
        made = Actor(self.world, self.program, socket=path)
        self.addCleanup(made.kill)
        return made

    def layout(self):
        """The one that the tree has."""
        layout = []
        self.translator.welcome = lambda body: layout.append(
            struct.unpack_from("<I", body, LAYOUT_AT)[0])
        self.actor(self.between).ask("serve", "any", 0)
        return layout[0]

    def wrong_versions(self):
        return b"wrong_version" in self.world.ringwire("s1", "drops").stdout

    def assert_works(self, sender, reader, way, service="works"):
        ticket = sender.ask("send", service, BYTES, PROCESSED, "a")
        self.assertTrue(ticket.isdigit(), ticket)
        # A program finds a new engine in its calls: with this one goes what was sent meanwhile.
        sender.tell("wait", ticket)
        self.assertRegex(reader.ask("receive"), f"^{way} {BYTES} a$")
        self.assertEqual(reader.ask("release"), "ok")
        self.assertEqual(sender.answer(), "done")

    def test_a_newer_library_is_refused_by_name(self):
        layout = self.layout()
        self.translator.hello = newer_layout
        said = self.actor(self.between).ask("serve", "works", 1)
        self.assertIn(f"layout {layout};", said)
        await_true(self.wrong_versions, "the engine counts it")
        reader, sender = self.actor(), self.actor()
        self.assertEqual(reader.ask("serve", "works", 1), "ok")
        self.assert_works(sender, reader, "shared")

    def test_a_newer_engine_is_refused_by_name(self):
        layout = self.layout()
        self.translator.welcome = newer_layout
        said = self.actor(self.between).ask("serve", "works", 1)
        self.assertIn(f"layout {layout + 1};", said)
        self.assertRegex(said, rf"this library \S+ speaks \d+, {layout}$")

    def test_features_that_the_engine_does_not_know_are_not_used(self):
        self.translator.hello = features(HELLO_FEATURES_AT, lambda bits: bits | 1 << 40)
        reader, sender = self.actor(self.between), self.actor(self.between)
        self.assertEqual(reader.ask("serve", "works", 1), "ok")
        self.assert_works(sender, reader, "shared")

    def test_an_engine_without_sharing_copies(self):
        without = features(WELCOME_FEATURES_AT, lambda bits: bits & ~1)
        self.translator.welcome = without
        self.translator.hello = features(HELLO_FEATURES_AT, lambda bits: bits & ~1)
        reader, sender = self.actor(self.between), self.actor()
        self.assertEqual(reader.ask("serve", "works", 1), "ok")
        self.assert_works(sender, reader, "copied")

    def test_features_in_force_that_the_library_does_not_know_are_refused(self):
        self.translator.welcome = features(WELCOME_FEATURES_AT, lambda bits: bits | 1 << 40)
        said = self.actor(self.between).ask("serve", "works", 1)
        self.assertIn("makes no sense", said)

    def test_an_engine_that_comes_back_newer_ends_its_programs_calls(self):
        layout = self.layout()
        old_reader, old_sender = self.actor(self.between), self.actor(self.between)
        self.assertEqual(old_reader.ask("serve", "works", 1), "ok")
        self.assert_works(old_sender, old_reader, "shared")
        reader, sender = self.actor(), self.actor()
        self.assertEqual(reader.ask("serve", "others", 1), "ok")
        self.assert_works(sender, reader, "shared", "others")
        self.translator.welcome = newer_layout
        self.world.engines["s1"].kill()
        self.world.start_engine("s1")
        self.world.await_up("s1")
        for old in (old_sender, old_reader):
            said = old.ask("send", "works", BYTES, PROCESSED, "b")
            if said.isdigit():  # taken before the engine's death was seen
                said = old.ask("wait", said)
            self.assertIn(f"layout {layout + 1};", said)
        # Those of its own layout come back by themselves; what is sent before the reader is back,
        # is copied.
        self.assert_works(sender, reader, "(shared|copied)", "others")


if __name__ == "__main__":
    unittest.main()
