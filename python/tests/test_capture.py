"""Captures of small trainings. Skipped without torch."""
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    torch = None

from weighbridge_client import capture  # noqa: E402


def graph_of(folder):
    with open(os.path.join(folder, "graph.json"), encoding="utf-8") as file:
        return json.load(file)


@unittest.skipIf(torch is None, "skipped: torch is not installed")
class Captures(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(5)
        torch.set_num_threads(1)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(capture.cancel)

    def model(self):
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))

    def train(self, net, optimizer, steps=2, micro_batches=1):
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            for _ in range(micro_batches):
                x, y = torch.randn(4, 6), torch.tensor([0, 1, 2, 1])
                capture.batch(x=x, y=y)
                loss = F.cross_entropy(net(x), y) / micro_batches
                loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def captured(self, steps=(1,), micro_batches=1, optimizer=torch and torch.optim.SGD, **options):
        net = self.model()
        session = capture.order(self.folder.name, steps)
        self.train(net, optimizer(net.parameters(), **options), max(steps) + 1, micro_batches)
        self.assertEqual(session.errors, [])
        return [graph_of(folder) for folder in session.written], net

    def test_every_operand_has_an_origin(self):
        (graph,), net = self.captured(lr=0.1)
        produced = {operand["tensor"] for row in graph["operations"] for operand in row["out"].values()}
        known = {t["name"] for t in graph["tensors"] if "before" in t or "batch" in t}
        for row in graph["operations"]:
            for role, operand in row["in"].items():
                self.assertIn(operand["tensor"], produced | known, f"{row['name']} {role}")
        before = {t["before"] for t in graph["tensors"] if "before" in t}
        after = {t["after"] for t in graph["tensors"] if "after" in t}
        self.assertEqual(before, {name for name, _ in net.named_parameters()})
        self.assertEqual(before, after)
        self.assertEqual({t["batch"] for t in graph["tensors"] if "batch" in t}, {"0/x", "0/y"})

    def test_products_say_what_they_are(self):
        (graph,), _ = self.captured(lr=0.1)
        products = {row["name"]: row["with"] for row in graph["operations"] if row["op"] == "matmul"}
        self.assertEqual(set(products), {"0.forward", "2.forward", "2.dgrad", "2.wgrad", "0.wgrad"})
        self.assertEqual(products["0.forward"], {"phase": "forward", "m": "4", "n": "8", "k": "6", "format": "F32",
                                                 "accumulator": "F32"})
        kinds = {row["op"] for row in graph["operations"]}
        self.assertTrue({"relu", "relu-grad", "cross-entropy-grad", "column-sum", "sgd"} <= kinds, kinds)
        self.assertNotIn("opaque", kinds)

    def test_micro_batches_are_told_apart_and_summed(self):
        (graph,), _ = self.captured(micro_batches=3, lr=0.1)
        numbers = [row.get("micro_batch", 0) for row in graph["operations"]]
        self.assertEqual((numbers, set(numbers)), (sorted(numbers), {0, 1, 2}))
        self.assertEqual(sum(row["op"] == "matmul" for row in graph["operations"]), 15)
        self.assertEqual(sum(row["op"] == "add" for row in graph["operations"]), 6 + (3 if any(
            row["name"] == "zero gradient" for row in graph["operations"]) else 0))

    def test_updates_carry_their_numbers_and_state(self):
        adamw = torch.optim.AdamW
        (first, third), _ = self.captured(steps=(0, 2), optimizer=adamw, lr=0.01, weight_decay=0.1)
        of = lambda graph: [row for row in graph["operations"] if row["op"] == "adamw"]
        self.assertEqual({row["with"]["step"] for row in of(third)}, {"3"})
        self.assertEqual(set(of(first)[0]["in"]), {"param", "grad"})
        self.assertEqual(set(of(third)[0]["in"]), {"param", "grad", "exp_avg", "exp_avg_sq"})
        self.assertEqual(of(third)[0]["with"]["lr"], "0.01")
        names = {t["before"] for t in third["tensors"] if "before" in t}
        self.assertIn("optimizer/0.weight/exp_avg_sq", names)

    def test_an_optimizer_that_is_not_known_is_opaque(self):
        (graph,), _ = self.captured(optimizer=torch.optim.Adagrad, lr=0.1)
        self.assertEqual({row["op"] for row in graph["operations"] if row["name"].startswith("update.")}, {"opaque"})

    def test_training_is_the_same_with_and_without(self):
        results = []
        for ordered in (False, True):
            torch.manual_seed(9)
            net = self.model()
            if ordered:
                capture.order(self.folder.name, {1, 2})
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.02)
            results.append((self.train(net, optimizer, 4, 2), [p.detach().clone() for p in net.parameters()]))
        self.assertEqual(results[0][0], results[1][0])
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(results[0][1], results[1][1])))

    def test_everything_is_put_back(self):
        step, backward = torch.optim.SGD.step, torch.autograd.backward
        session = capture.order(self.folder.name, {0})
        self.assertIsNot(torch.optim.SGD.step, step)
        net = self.model()
        self.train(net, torch.optim.SGD(net.parameters(), lr=0.1), 2)
        self.assertEqual(len(session.written), 1)
        self.assertIs(torch.autograd.backward, backward)

    def test_an_error_of_ours_does_not_reach_the_training(self):
        session = capture.order(self.folder.name, {0}, max_bytes=100)
        net = self.model()
        stderr, sys.stderr = sys.stderr, open(os.devnull, "w", encoding="utf-8")
        try:
            losses = self.train(net, torch.optim.SGD(net.parameters(), lr=0.1), 2)
        finally:
            sys.stderr.close()
            sys.stderr = stderr
        self.assertEqual((len(losses), session.written, len(session.errors)), (2, [], 1))
        self.assertIn("100 bytes", str(session.errors[0]))

    def test_what_is_written_over_is_kept_as_it_was(self):
        class Overwrites(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = nn.Linear(6, 3)

            def forward(self, x):
                y = self.inner(x)
                return y.mul_(0.5).relu_()

        net = Overwrites()
        session = capture.order(self.folder.name, {0})
        self.train(net, torch.optim.SGD(net.parameters(), lr=0.1), 1)
        self.assertEqual(session.errors, [])
        graph = graph_of(session.written[0])
        names = [(row["op"], row["in"], row["out"]) for row in graph["operations"] if row["op"] in ("scale", "relu")]
        (scaled, activated) = [row for row in names if row[0] in ("scale", "relu")][:2]
        self.assertEqual((scaled[0], activated[0]), ("scale", "relu"))
        self.assertNotEqual(scaled[1]["in"]["tensor"], scaled[2]["out"]["tensor"])
        self.assertEqual(scaled[2]["out"]["tensor"], activated[1]["in"]["tensor"])


if __name__ == "__main__":
    unittest.main()
