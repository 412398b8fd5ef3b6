#!/usr/bin/env python3
"""Trains a small GPT with plain PyTorch and captures some of its steps with the client, for the audit's tests.

    capture_traces.py --out FOLDER [--dtype fp32|bf16] [--optimizer sgd|adamw] [--steps 2,3] [--tokens 4096]

Records are pairs of rows (tokens, targets); batch k is what the committed order (weighbridge_client.Order) has for step,
rank 0 and micro-batch. Beside the captured steps, FOLDER gets `data.json`: the records and the order's parameters.
Two micro-batches of `--tokens` tokens each, so that weight gradients are sums of that many terms. Needs torch alone.
"""
import argparse
import hashlib
import json
import os
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
from weighbridge_client import Order, capture  # noqa: E402

VOCABULARY, CONTEXT, RECORDS, MICRO_BATCHES = 64, 32, 300, 2
TEXT = b"a lorry is weighed loaded and is not opened; the scale says what it weighs and how far that may be wrong. "


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x):
        rows, length, width = x.shape
        split = self.qkv(self.before_attention(x)).split(width, 2)
        q, k, v = (t.view(rows, length, self.heads, width // self.heads).transpose(1, 2) for t in split)
        scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(rows, length, width)
        x = x + self.out(mixed)
        return x + self.down(F.relu(self.up(self.before_mlp(x))))


class Gpt(nn.Module):
    def __init__(self, width=32, heads=2):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(CONTEXT, width)
        self.block = Block(width, heads)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.block(x)))


def records():
    text = (TEXT * (RECORDS * CONTEXT // len(TEXT) + 2))[: RECORDS * CONTEXT + 1]
    ids = torch.tensor(list(text)) % VOCABULARY
    rows = [(ids[at * CONTEXT : (at + 1) * CONTEXT], ids[at * CONTEXT + 1 : (at + 1) * CONTEXT + 1]) for at in range(RECORDS)]
    return [(tokens.contiguous(), targets.contiguous()) for tokens, targets in rows]


def raw(tensor):
    return b"".join(int(value).to_bytes(8, "little", signed=True) for value in tensor.tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--optimizer", choices=("sgd", "adamw"), default="adamw")
    parser.add_argument("--steps", default="2,3")
    parser.add_argument("--tokens", type=int, default=4096)
    arguments = parser.parse_args()
    torch.manual_seed(11)
    torch.set_num_threads(1)
    net = Gpt().to({"fp32": torch.float32, "bf16": torch.bfloat16}[arguments.dtype])
    if arguments.optimizer == "adamw":
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    data, batch = records(), arguments.tokens // CONTEXT
    seed = hashlib.sha256(b"capture_traces").digest()
    order = Order(seed, RECORDS, batch, ranks=1, micro_batches=MICRO_BATCHES)
    steps = [int(step) for step in arguments.steps.split(",")]
    session = capture.order(arguments.out, steps)
    for step in range(max(steps) + 1):
        optimizer.zero_grad()
        for micro_batch in range(MICRO_BATCHES):
            rows = [data[index] for index in order.indices(step, 0, micro_batch)]
            tokens, targets = (torch.stack(part) for part in zip(*rows))
            capture.batch(tokens=tokens, targets=targets)
            logits = net(tokens).float().reshape(-1, VOCABULARY)
            (F.cross_entropy(logits, targets.reshape(-1)) / MICRO_BATCHES).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
    with open(os.path.join(arguments.out, "data.json"), "w", encoding="utf-8") as file:
        json.dump({"seed": seed.hex(), "batch": batch, "micro_batches": MICRO_BATCHES,
                   "records": [(raw(tokens) + raw(targets)).hex() for tokens, targets in data]}, file)
    print(json.dumps({"written": session.written, "errors": [repr(error) for error in session.errors],
                      "torch": torch.__version__}))
    return 1 if session.errors or len(session.written) != len(steps) else 0


if __name__ == "__main__":
    sys.exit(main())
