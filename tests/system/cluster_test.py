"""System tests: what the documents promise of engines and commands, with real processes."""

import json
import os
import signal
import socket
import threading
import unittest

from world import World, await_true, free_ports, program, run


def engine_command():
    return [program("ringwire-engine")]


class Configuration(unittest.TestCase):
    def refused(self, text, *words):
        with World(servers=1, slaves=0) as world:
            engine = world.spawn([*engine_command(), "-f", world.write_configuration("s1", text)],
                                 "engine")
            self.assertEqual(engine.end(), 2, engine.text())
            for word in words:
                self.assertIn(word, engine.text())

    def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_name(self):
        self.refused('[cluster]\nname = "x"\nsecondarys = 1\n', "secondarys", "secondaries", "3")

    def test_a_value_of_the_wrong_type_is_refused(self):
        self.refused('[node]\nworkers = "two"\n', "workers", "2")

    def test_a_file_that_is_not_toml_is_refused_with_its_line(self):
        self.refused('[node]\nname = \n', "2")

    def test_tls_is_refused_not_ignored(self):
        self.refused('[tls]\nenabled = true\n', "tls")

    def test_an_absent_file_is_refused_by_name(self):
        done = run("ringwire-engine", "-f", "/nowhere/node.toml")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"/nowhere/node.toml", done.stderr + done.stdout)


class InUse(unittest.TestCase):
    """What is taken is named, and the engine exits 1 instead of running half."""

    def refused(self, world, name, *words):
        engine = world.start_engine(name)
        self.assertEqual(engine.end(), 1, engine.text())
        for word in words:
            self.assertIn(str(word), engine.text())

    def test_a_control_port_in_use(self):
        with World(servers=1, slaves=0) as world, socket.socket() as taken:
            taken.bind(("127.0.0.1", world.ports["s1"][0]))
            taken.listen()
            self.refused(world, "s1", world.ports["s1"][0], "in use")

    def test_a_data_port_in_use(self):
        with World(servers=1, slaves=0) as world, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", world.ports["s1"][1]))
            self.refused(world, "s1", world.ports["s1"][1], "in use")

    def running_twin(self, world, line, instead):
        """An engine runs; a second one shares one thing with it."""
        world.start_engine("s1")
        world.await_up("s1")
        control, data = free_ports(1)[0]
        text = world.configuration("s1")
        text = text.replace(f':{world.ports["s1"][0]}"', f':{control}"')
        text = text.replace(f'udp_base = {world.ports["s1"][1]}', f"udp_base = {data}")
        text = text.replace(line, instead)
        twin = world.spawn([*engine_command(), "-f", world.write_configuration("twin", text)],
                           "twin")
        self.assertEqual(twin.end(), 1, twin.text())
        self.assertTrue(world.status("s1"), "the first engine goes on")
        return twin.text()

    def test_a_socket_in_use(self):
        with World(servers=1, slaves=0) as world:
            said = self.running_twin(world, f"{world.folder}/state-s1", f"{world.folder}/state-2")
            self.assertIn(world.socket("s1"), said)

    def test_a_state_folder_in_use(self):
        with World(servers=1, slaves=0) as world:
            said = self.running_twin(world, world.socket("s1"), world.socket("twin"))
            self.assertIn("state-s1", said)

    def test_a_socket_left_by_a_dead_engine_is_no_obstacle(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            world.engines["s1"].kill()
            world.start_engine("s1")
            world.await_up("s1")


class NoEngine(unittest.TestCase):
    def test_every_command_that_needs_one_exits_3_and_names_the_socket(self):
        for command in (["status"], ["nodes"], ["slots"], ["attachments"], ["drops"],
                        ["send", "--key", "k"], ["serve", "--sink"]):
            with self.subTest(command):
                done = run("ringwire", *command, "--socket", "/nowhere/a.sock")
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertIn(b"/nowhere/a.sock", done.stderr)


class StoppedEngine(unittest.TestCase):
    def test_wait_keeps_its_own_time_out_and_exits_4(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            world.engines["s1"].stop()
            done = world.ringwire("s1", "wait", "--state", "serving", "--timeout", "300ms")
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn(b"does not answer", done.stderr)
            self.assertIn(b"300.00 ms", done.stderr)

    def test_whoever_attaches_is_told_that_it_does_not_answer(self):
        # Not exit 3: who then starts an engine finds the socket in use.
        with World(servers=1, slaves=0) as world:
            world.start()
            world.engines["s1"].stop()
            socket = world.socket("s1")
            serving = world.spawn([program("ringwire"), "serve", "--sink", "--socket", socket],
                                  "serve")
            done = world.ringwire("s1", "send", "--key", "k", data=b"")
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn(b"does not answer", done.stderr)
            self.assertEqual(serving.end(), 4, serving.text())

    def test_wait_is_met_once_it_goes_on(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            world.engines["s1"].stop()
            waiting = world.spawn([program("ringwire"), "wait", "--socket", world.socket("s1"),
                                   "--state", "serving", "--timeout", "60s"], "wait")
            world.engines["s1"].signal(signal.SIGCONT)
            self.assertEqual(waiting.end(), 0, waiting.text())


class Readme(unittest.TestCase):
    def test_the_first_commands_move_a_file_through_a_developer_node(self):
        with World(servers=1, slaves=0) as world:
            env = {**os.environ, "XDG_RUNTIME_DIR": str(world.folder),
                   "XDG_STATE_HOME": str(world.folder), "HOME": str(world.folder)}
            env.pop("RINGWIRE_SOCKET", None)
            control, data = free_ports(1)[0]
            world.spawn([*engine_command(), "-o", f"node.control=127.0.0.1:{control}", "-o",
                         f"port.0.udp_base={data}", "-o", f"node.socket={world.socket('s1')}", "-o",
                         f"node.state={world.folder}/state"], "engine", env)
            await_true(lambda: world.status("s1"), "the developer node answers")
            world.serve("s1")
            path = world.file("hello.bin", 3_000_000)
            done = world.ringwire("s1", "send", "--key", "hello", str(path))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(world.saved_contents(), [path.read_bytes()])


class Deaths(unittest.TestCase):
    """kill -9 at a bad moment loses nothing that was promised."""

    def test_a_killed_sender_leaves_whole_messages_or_none(self):
        with World() as world:
            world.start()
            world.serve_everywhere()
            path = world.file("big.bin", 200_000_000)
            sender = world.sender("c1", "--key", "k", str(path))
            await_true(lambda: any(world.status(name)["receiving"] for name in world.servers)
                       or not sender.running(), "a server receives a part")
            sender.kill()
            await_true(lambda: world.status("c1")["messages"]["in_flight"] == 0,
                       "the message has its outcome")
            for content in world.saved_contents():
                self.assertEqual(content, path.read_bytes())
            small = world.file("small.bin", 1000)
            self.assertEqual(world.ringwire("c1", "send", "--key", "k", str(small)).returncode, 0)

    def test_what_a_killed_server_program_held_goes_to_another_one(self):
        with World(servers=1) as world:
            world.start()
            # A stop is asked for, and comes: on a busy machine the thread that serves ran on, and
            # was done, before the signal had found it.
            stop_server = ("kill -STOP $PPID; while grep -hs ^State: /proc/$PPID/task/*/status"
                           " | grep -qv stopped; do :; done; exec cat >/dev/null")
            holder = world.serve("s1", "--exec", stop_server)
            path = world.file("one.bin", 100_000)
            sender = world.sender("c1", "--key", "k", str(path))
            await_true(lambda: world.status("s1")["unprocessed"] == 1, "it holds the message")
            world.serve("s1")
            holder.kill()
            self.assertEqual(sender.end(), 0, sender.text())
            self.assertEqual(world.saved_contents(), [path.read_bytes()])

    def test_messages_of_a_killed_engine_go_to_the_secondary(self):
        with World() as world:
            world.start()
            world.serve_everywhere()
            key = world.key_of("s1")
            path = world.file("big.bin", 100_000_000)
            sender = world.sender("c1", "--key", key, str(path))
            await_true(lambda: (world.status("s1") or {}).get("receiving") or
                       not sender.running(), "s1 receives a part")
            world.engines["s1"].kill()
            self.assertEqual(sender.end(), 0, sender.text())
            self.assertIn(path.read_bytes(), world.saved_contents())
            world.start_engine("s1")
            world.await_up("s1")
            await_true(lambda: world.key_owner(key) == "s1", "s1 serves its keys again")

    def test_a_program_goes_on_with_a_restarted_engine(self):
        with World() as world:
            world.start()
            world.serve_everywhere()
            paths = [world.file(f"{i}.bin", 20_000_000, i) for i in range(4)]
            senders = [world.sender("c1", "--key", path.name, str(path)) for path in paths]
            # Each has its channel: who finds its engine dead while it opens one is told so.
            await_true(lambda: world.channels_opened("c1") == len(senders), "all have attached")
            world.engines["c1"].kill()
            world.start_engine("c1")
            for sender in senders:
                self.assertEqual(sender.end(), 0, sender.text())
            saved = world.saved_contents()
            for path in paths:
                self.assertIn(path.read_bytes(), saved)


class Hung(unittest.TestCase):
    def test_a_server_engine_stopped_for_3_s_under_100_large_messages_loses_nothing(self):
        with World() as world:
            world.start()
            world.serve_everywhere()
            paths = [world.file(f"{i}.bin", 4_000_000, i) for i in range(100)]
            failures = []

            def send(part):
                for path in part:
                    done = world.ringwire("c1", "send", "--key", path.name, str(path))
                    if done.returncode != 0:
                        failures.append((path.name, done.stderr))

            threads = [threading.Thread(target=send, args=(paths[i::4],)) for i in range(4)]
            for thread in threads:
                thread.start()
            await_true(lambda: world.status("c1")["messages"]["done"] >= 10, "ten are done")
            world.engines["s1"].stop()
            # Three seconds of silence are the event under test.
            threading.Event().wait(3)
            world.engines["s1"].signal(signal.SIGCONT)
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            saved = set(world.saved_contents())
            missing = [path.name for path in paths if path.read_bytes() not in saved]
            self.assertEqual(missing, [])


class NarrowPath(unittest.TestCase):
    """W-54: a network that swallows large frames without a word is found out and lived with."""

    def test_a_large_message_arrives_over_a_path_that_swallows_large_frames(self):
        with World(servers=1, secondaries=0) as world:
            for name in world.ports:
                world.start_engine(name, "-o", "port.0.fault=largest=1500")
            for name in world.ports:
                world.await_up(name)
            world.serve_everywhere()
            path = world.file("large.bin", 3_000_000)
            done = world.ringwire("c1", "send", "--key", "a", str(path))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(world.saved_contents(), [path.read_bytes()])
            told = "".join(engine.text() for engine in world.engines.values())
            self.assertIn("swallows frames of 8944 bytes", told)


class Drain(unittest.TestCase):
    def test_every_engine_drains_and_exits_0_on_sigterm(self):
        with World() as world:
            world.start()
            world.serve_everywhere()
            path = world.file("a.bin", 1_000_000)
            self.assertEqual(world.ringwire("c1", "send", "--key", "a", str(path)).returncode, 0)
            for name, engine in world.engines.items():
                engine.signal(signal.SIGTERM)
                self.assertEqual(engine.end(), 0, f"{name}: {engine.text()}")

    def test_a_message_under_way_is_not_lost_by_a_draining_server(self):
        with World() as world:
            world.start()
            world.serve_everywhere()
            key = world.key_of("s1")
            path = world.file("big.bin", 100_000_000)
            sender = world.sender("c1", "--key", key, str(path))
            await_true(lambda: (world.status("s1") or {}).get("receiving") or
                       not sender.running(), "s1 receives a part")
            world.engines["s1"].signal(signal.SIGTERM)
            self.assertEqual(sender.end(), 0, sender.text())
            self.assertEqual(world.engines["s1"].end(), 0, world.engines["s1"].text())
            self.assertIn(path.read_bytes(), world.saved_contents())


class Reports(unittest.TestCase):
    def test_every_report_is_json_on_demand(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            for command in ("status", "nodes", "slots", "attachments", "drops"):
                with self.subTest(command):
                    done = world.ringwire("s1", command, "--json")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIsInstance(json.loads(done.stdout), dict)

    def test_who_serves_is_up(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            for state, code in (("serving", 0), ("up", 0), ("joining", 4)):
                with self.subTest(state):
                    done = world.ringwire("s1", "wait", "--state", state, "--timeout", "300ms")
                    self.assertEqual(done.returncode, code, done.stderr)

    def test_books_balance(self):
        with World() as world:
            world.start()
            world.serve_everywhere("--sink")
            for i in range(20):
                self.assertEqual(
                    world.ringwire("c1", "send", "--key", f"k{i}", data=b"x" * i).returncode, 0)
            messages = world.status("c1")["messages"]
            self.assertEqual(messages["taken"], 20)
            self.assertEqual(messages["taken"], messages["done"] + messages["failed"]
                             + messages["unknown"] + messages["in_flight"])


if __name__ == "__main__":
    unittest.main()
