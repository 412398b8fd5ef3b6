"""What needs no torch: files, graphs, the order of records, and that nothing else is imported."""
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from weighbridge_client import Order, capture, graph, safetensors  # noqa: E402


class Files(unittest.TestCase):
    def test_a_file_is_what_its_header_says(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "t.safetensors")
            rows = [("a", "F32", [2], 8, lambda: struct.pack("<2f", 1, 2)), ("b", "U8", [], 1, lambda: b"\7")]
            digest = safetensors.write(path, rows)
            data = open(path, "rb").read()
            self.assertEqual(digest, hashlib.sha256(data).hexdigest())
            size = struct.unpack("<Q", data[:8])[0]
            header = json.loads(data[8 : 8 + size])
            self.assertEqual(header["b"], {"dtype": "U8", "shape": [], "data_offsets": [8, 9]})
            self.assertEqual(data[8 + size :], struct.pack("<2f", 1, 2) + b"\7")
            with self.assertRaises(ValueError):
                safetensors.write(path, [("a", "U8", [2], 2, lambda: b"\7")])
            with self.assertRaises(ValueError):
                safetensors.write(path, rows[:1] * 2)

    def test_numbers_give_the_float_back(self):
        for value in (0.01, 1e-08, 1 / 3, 0.999, 3.0):
            self.assertEqual(float(graph.number(value)), value)
        self.assertEqual([graph.number(v) for v in (7, True, False, "mean")], ["7", "true", "false", "mean"])

    def test_what_leads_nowhere_is_left_out(self):
        step = graph.Graph("t", 0, 0, 0)
        for name in "abcde":
            step.add_tensor(graph.Tensor(name, "F32", [1], 4, lambda: bytes(4)))
        one = lambda name: {"tensor": name}
        step.add("relu", "kept", {"in": one("a")}, {"out": one("b")})
        step.add("relu", "dead", {"in": one("b")}, {"out": one("c")})
        step.add("matmul", "product", {"a": one("b"), "b": one("a")}, {"c": one("d")})
        step.add("opaque", "free", {"0": one("d")}, {"0": one("e")}, flop=0)
        self.assertEqual([row["name"] for row in step.alive()], ["kept", "product"])
        step.tensors["e"].after = "e"
        self.assertEqual([row["name"] for row in step.alive()], ["kept", "product", "free"])
        step.add("opaque", "unknown", {"0": one("d")}, {"0": one("c")})
        self.assertEqual(step.alive()[-1]["name"], "unknown", "unstated FLOP are not none")


class Orders(unittest.TestCase):
    def test_the_published_order_holds(self):
        path = os.path.join(HERE, "..", "..", "tests", "vectors", "order.json")
        for row in json.load(open(path, encoding="utf-8"))["rows"]:
            order = Order(bytes.fromhex(row["seed"]), row["records"], 1)
            self.assertEqual([order.permuted(row["epoch"], at) for at in range(8)], row["first_eight"])

    def test_units_follow_one_another(self):
        order = Order(bytes(32), 29, 5, ranks=2, micro_batches=3)
        read = []
        for step in range(2):
            for rank in range(2):
                for micro_batch in range(3):
                    read += order.indices(step, rank, micro_batch)
        self.assertEqual(sorted(read[:29]), list(range(29)))
        self.assertEqual(sorted(read[29:58]), list(range(29)))
        with self.assertRaises(IndexError):
            order.indices(0, 2, 0)
        with self.assertRaises(ValueError):
            Order(b"short", 1, 1)


class Silence(unittest.TestCase):
    def test_nothing_happens_without_an_order(self):
        self.assertIsNone(capture.from_environment({}))
        capture.batch(tokens=object())
        capture.cancel()

    def test_importing_needs_the_standard_library_alone(self):
        program = (
            "import sys; before = set(sys.modules)\n"
            "import weighbridge_client, weighbridge_client.capture, weighbridge_client.graph\n"
            "new = {n.split('.')[0] for n in set(sys.modules) - before} - {'weighbridge_client'}\n"
            "print(sorted(n for n in new if n not in sys.stdlib_module_names))"
        )
        environment = dict(os.environ, PYTHONPATH=os.path.dirname(HERE))
        ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(ran.stdout.strip(), "[]")


if __name__ == "__main__":
    unittest.main()
