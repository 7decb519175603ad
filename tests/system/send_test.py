"""System tests of `ringwire send`: outcomes, headlines and exit codes as docs/cli.md gives them."""

import base64
import json
import unittest

from world import World, await_true, run


class SendOutcomes(unittest.TestCase):
    """One server node without a program: what waits ends with what it waited for."""

    def test_a_time_out_exits_4_and_names_what_was_waited_for(self):
        with World(servers=1, slaves=0) as world:
            world.start_engine("s1", "-o", "limits.program_grace=0")
            world.await_up("s1")
            done = world.ringwire("s1", "send", "--key", "k", "--timeout", "200ms", data=b"x")
            self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
            self.assertIn(b"failed(no_consumer)", done.stdout)
            call = world.ringwire("s1", "send", "--key", "k", "--call", "--timeout", "200ms",
                                  data=b"x")
            self.assertEqual(call.returncode, 4, call.stdout + call.stderr)
            self.assertIn(b"failed(no_consumer)", call.stderr)

    def test_a_failure_before_the_time_out_exits_1(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            done = world.ringwire("s1", "send", "--key", "k", "--no-wait", "--call", "--timeout",
                                  "60s", data=b"x")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn(b"failed(no_consumer) after 1 attempt\n", done.stderr)

    def test_a_call_prints_one_document_with_its_reply(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            world.serve("s1", "--echo")
            for payload, encoding, data in (
                    (b"caf\xc3\xa9", "text", "café"),
                    (b"\xff\x00", "base64", base64.b64encode(b"\xff\x00").decode()),
                    (b"\xff\x00\x01", "base64", base64.b64encode(b"\xff\x00\x01").decode()),
                    (b"", "text", "")):
                with self.subTest(payload):
                    done = world.ringwire("s1", "send", "--key", "k", "--call", "--json",
                                          data=payload)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    answer = json.loads(done.stdout)
                    self.assertEqual(answer["done"], 1)
                    self.assertEqual(answer["sends"][0]["node"], "s1")
                    self.assertEqual(answer["sends"][0]["reply"],
                                     {"bytes": len(payload), "encoding": encoding, "data": data})

    def test_a_call_without_a_reply_is_a_document_too(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            world.serve("s1", "--sink")
            done = world.ringwire("s1", "send", "--key", "k", "--call", "--json", data=b"x")
            self.assertEqual(done.returncode, 1, done.stderr)
            sent = json.loads(done.stdout)["sends"][0]
            self.assertEqual((sent["ending"], sent["reply"]), ("done", None))


class BenchEnds(unittest.TestCase):
    def test_a_run_whose_receiver_has_stopped_ends_with_its_deadline(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            world.serve("s1", "--echo").stop()
            for pattern in ("echo", "stream", "large"):
                with self.subTest(pattern):
                    done = run("ringwire", "bench", pattern, "--socket", world.socket("s1"),
                               "--size", "64", "--timeout", "1h", "--duration", "100ms",
                               "--deadline", "700ms")
                    self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
                    self.assertIn(b"did not end within 700.00 ms", done.stderr)


class BenchCounts(unittest.TestCase):
    def test_all_programs_of_a_service_are_asked_what_they_got(self):
        with World(servers=1, slaves=0) as world:
            world.start()
            for _ in range(3):
                world.serve("s1", "--sink")
            done = run("ringwire", "bench", "stream", "--socket", world.socket("s1"),
                       "--size", "64", "--duration", "300ms", "--order", "none", "--json")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            told = json.loads(done.stdout)
            self.assertEqual(told["lost"], 0)
            self.assertGreater(told["messages"], 0)
            self.assertGreater(told["environment"]["receivers_asked"], 1)


class SeveralTargets(unittest.TestCase):
    def test_the_headline_counts_and_every_target_has_its_node(self):
        with World(servers=3, slaves=0) as world:
            world.start()
            world.serve_everywhere("--sink")
            for name in world.servers:
                await_true(lambda n=name: list(world.nodes(n).values()) == ["serving"] * 3,
                           f"{name} sees all serve")
            whole = world.ringwire("s1", "send", "--broadcast", data=b"x")
            self.assertEqual(whole.returncode, 0, whole.stdout + whole.stderr)
            self.assertIn(b"3 of 3 targets done, all required", whole.stdout)
            world.engines["s3"].kill()
            await_true(lambda: world.nodes("s1").get("s3") == "down", "s1 sees the death")
            part = world.ringwire("s1", "send", "--broadcast", data=b"x")
            self.assertEqual(part.returncode, 1, part.stdout + part.stderr)
            self.assertTrue(part.stdout.startswith(b"incomplete  "), part.stdout)
            self.assertIn(b"2 of 3 targets done, all required", part.stdout)
            self.assertIn(b"failed(down)  node s3\n", part.stdout)
            most = world.ringwire("s1", "send", "--broadcast", "--require", "majority", "--json",
                                  data=b"x")
            self.assertEqual(most.returncode, 0, most.stdout + most.stderr)
            sent = json.loads(most.stdout)["sends"][0]
            self.assertEqual(sent["targets_done"], 2)
            self.assertEqual({target["node"]: target["ending"] for target in sent["targets"]},
                             {"s1": "done", "s2": "done", "s3": "failed"})


if __name__ == "__main__":
    unittest.main()
