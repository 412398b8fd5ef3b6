#!/usr/bin/env python3
"""Derives every value of audit.json that is not Poseidon from its inputs; framing as in recompute.py.

Standard library only. Exit code 0: all values agree; 1: a value differs (each is named); 2: wrong use.
"""
import json
import sys

import recompute
from recompute import challenge, digest, digest_limbs, expect, fixed, framed_sha256, listed, option, pack7
from recompute import poseidon_input, string, u8, u32, u64

GFLOP = 10**9


def u128(value):
    return int(value).to_bytes(16, "little")


def integers(texts):
    return [int(text) for text in texts]


def hashed(where, row, domain, elements, version=1):
    poseidon_input(where, row, f"weighbridge/{domain}/v{version}", elements)


def section_numeric_policy(row, _):
    def one(value):
        a, b, c = value["formats"]
        framed = u8(value["class"]) + u8(a) + u8(b) + u8(c) + u8(0) + u8(value["tf32"])
        framed += u8(0) if value["lambda"] is None else u8(1) + u8(value["lambda"])
        return framed + u8(value["kappa"])

    framed = u8(row["value"]["side"]) + listed(row["value"]["classes"], one)
    expect("numeric policy", framed.hex(), row["framed"])
    expect("numeric policy digest", framed_sha256("weighbridge/numeric-policy/v1", framed), row["digest"])


def section_audit_policy(row, _):
    value, beacon = row["value"], row["value"]["beacon"]

    def stratum(one):
        return u8(one["weight"]) + u128(one["cap"]) + u32(one["draws"]) + u32(one["risk"])

    framed = u8(value["mode"]) + u8(0) + digest(beacon["chain"])
    framed += u64(beacon["genesis"]) + u64(beacon["period"]) + u64(beacon["delta"])
    framed += u64(value["deadline"]) + u32(value["risk"]) + listed(value["strata"], stratum)
    expect("audit policy", framed.hex(), row["framed"])
    expect("audit policy digest", framed_sha256("weighbridge/audit-policy/v1", framed), row["digest"])


def section_tolerance(row, _):
    def one(value):
        exponent = option(value["exponent"], lambda e: e.to_bytes(2, "little", signed=True))
        return u32(value["ulps"]) + exponent + u32(value["differing"])

    tensors = listed(row["value"]["tensors"], lambda value: string(value["name"]) + one(value))
    framed = one(row["value"]["default"]) + tensors
    expect("tolerance", framed.hex(), row["framed"])
    expect("tolerance digest", framed_sha256("weighbridge/tolerance/v1", framed), row["digest"])


def key(row, tile):
    unit = int(row["attempt"]) << 40 | int(row["step"])
    place = int(row["rank"]) << 36 | int(row["micro_batch"]) << 20 | int(row["operation"])
    return [unit, place, tile[0] << 28 | tile[1]]


def section_operations(rows, _):
    for at, row in enumerate(rows):
        elements = key(row, (0, 0))
        elements += [row[part] for part in ("kind", "class", "rows", "cols", "k", "bias", "side")] + row["transposed"]
        for root in row["roots"]:
            elements += digest_limbs(root)
        elements += pack7(digest(row["form"])) + pack7(fixed(28)(row["salt"]))
        hashed(f"operation {at}", row["hash"], "operation", elements, 2)
        leaf = key(row, row["tile"]) + digest_limbs(row["hash"]["digest"])
        hashed(f"leaf {at}", row["leaf"], "flop-leaf", leaf)
        side = row["side"]
        rows_left, cols_left = row["rows"] - side * row["tile"][0], row["cols"] - side * row["tile"][1]
        entries = min(side, rows_left) * min(side, cols_left)
        expect(f"flop of leaf {at}", str(2 * entries * row["k"]), row["flop"])
        expect(f"links of leaf {at}", str(entries if row["kind"] == 1 else 0), row["links"])


def node(value):
    elements = digest_limbs(value["digest"]) + integers(value["sums"])
    return elements + integers(value["min"]["elements"]) + integers(value["max"]["elements"])


def section_join(row, golden):
    left, right, joined = row["left"], row["right"], row["node"]
    hashed("join", row["hash"], "flop-node", [row["level"]] + node(left) + node(right))
    flop = sum(int(side["sums"][0]) * GFLOP + int(side["sums"][1]) for side in (left, right))
    links = sum(int(side["sums"][2]) for side in (left, right))
    expect("joined sums", [str(flop // GFLOP), str(flop % GFLOP), str(links)], joined["sums"])
    expect("joined keys", (left["min"], right["max"]), (joined["min"], joined["max"]))
    expect("joined digest", row["hash"]["digest"], joined["digest"])
    whole = row["tree"]["root"]
    shapes = golden["operations"]
    expect("leaves", row["tree"]["leaves"], sum(-(-s["rows"] // s["side"]) * -(-s["cols"] // s["side"]) for s in shapes))
    total = sum(2 * s["rows"] * s["cols"] * s["k"] for s in shapes)
    weight = sum(s["rows"] * s["cols"] for s in shapes if s["kind"] == 1)
    expect("sums of the tree", [str(total // GFLOP), str(total % GFLOP), str(weight)], whole["sums"])


def section_units(rows, _):
    expect("units: with and without trace", [row["trace"] is None for row in rows], [True, False])
    for at, row in enumerate(rows):
        flop = int(row["flop"])
        expect(f"sums of unit {at}", row["sums"][:2], [str(flop // GFLOP), str(flop % GFLOP)])
        elements = integers(row["key"]["elements"]) + integers(row["sums"])
        elements += pack7(digest(row["start"])) + pack7(digest(row["end"]))
        elements += [0] * 4 if row["trace"] is None else digest_limbs(row["trace"])
        hashed(f"unit {at}", row["hash"], "unit-leaf", elements + pack7(fixed(28)(row["salt"])))


def seed(row, root, one):
    about = digest(row["genesis"]) + digest(row["node_key_digest"]) + u64(row["index"])
    return framed_sha256("weighbridge/seed/v1", about + digest(root) + challenge(one["challenge"]))


def check_draw(where, row):
    elements = pack7(digest(row["seed"])) + [row["stratum"], row["index"], 0, 0]
    hashed(where, row["hash"], "draw", elements)
    bits = 0
    for at, element in enumerate(digest_limbs(row["hash"]["digest"])):
        bits |= (element % 2**45) << (45 * at)
    expect(f"{where}: limbs", [str(bits >> (30 * at) & (2**30 - 1)) for at in range(6)], row["limbs"])
    for point in row["points"]:
        expect(f"{where}: point", str(bits * int(point["total"]) >> 180), point["point"])


def section_window(row, _):
    elements = [row["index"]] + node(row["root"]) + pack7(fixed(28)(row["salt"]))
    hashed("window root", row["published"], "window", elements)
    published = row["published"]["digest"]
    expect("first seed", seed(row, published, row["first"]), row["first"]["seed"])
    elements = [row["index"]] + digest_limbs(published) + [len(row["traces"])]
    for trace in row["traces"]:
        elements += integers(trace["unit"]["elements"]) + digest_limbs(trace["root"])
    hashed("trace root", row["trace_root"], "traces", elements)
    expect("second seed", seed(row, row["trace_root"]["digest"], row["second"]), row["second"]["seed"])
    seeds = [row["first"]["seed"], row["first"]["seed"], row["second"]["seed"]]
    expect("draws: seeds", [draw["seed"] for draw in row["draws"]], seeds)
    for at, draw in enumerate(row["draws"]):
        check_draw(f"draw {at}", draw)
    for part, most in (("distinct", "total"), ("strip_entries", "entries")):
        drawn = row[part]["drawn"]
        expect(f"{part}: distinct and below", len({d for d in drawn if 0 <= d < row[part][most]}), len(drawn))


def section_salts(row, _):
    for one in row["of"]:
        numbers = listed(integers(one["numbers"]), u64)
        framed = string("trace") + u32(32) + digest(row["secret"]) + string(one["what"]) + numbers
        expect(f"salt of a {one['what']}", framed_sha256("weighbridge/salt/v1", framed)[:56], one["salt"])


def main(arguments):
    if len(arguments) != 2:
        print(f"usage: {arguments[0]} audit.json", file=sys.stderr)
        return 2
    with open(arguments[1], encoding="utf-8") as file:
        golden = json.load(file)
    expect("format", golden.pop("format"), "weighbridge/audit-vectors/v1")
    sections = {name[len("section_") :]: one for name, one in globals().items() if name.startswith("section_")}
    expect("sections", sorted(golden), sorted(sections))
    for name in golden:
        sections[name](golden[name], golden)
    for difference in recompute.differences:
        print(difference, file=sys.stderr)
    print(f"{recompute.checked - len(recompute.differences)} of {recompute.checked} values agree")
    return 1 if recompute.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
