#!/usr/bin/env python3
"""Derives every value of golden.json that is not Poseidon from its inputs, with framing code of its own.

Standard library only. Exit code 0: all values agree; 1: a value differs (each is named); 2: wrong use.
Poseidon digests are taken as given; what goes into them, element by element, is derived.
"""
import hashlib
import hmac
import json
import sys

ORDER = 2**64 - 2**32 + 1
differences = []
checked = 0


def expect(where, found, pinned):
    global checked
    checked += 1
    if found != pinned:
        differences.append(f"{where}: derived {found!r}, pinned {pinned!r}")


# Framing: fixed bytes and integers raw, little-endian; strings and variable bytes after a u32 length; lists after a
# u32 count; enums one byte; options one byte 0 or 1.
def integer(value, size):
    return int(value).to_bytes(size, "little")


def u8(value):
    return integer(value, 1)


def u16(value):
    return integer(value, 2)


def u32(value):
    return integer(value, 4)


def u64(value):
    return integer(value, 8)


def variable(data):
    return u32(len(data)) + data


def string(text):
    return variable(text.encode())


def listed(items, one):
    return u32(len(items)) + b"".join(one(item) for item in items)


def option(value, one):
    return u8(0) if value is None else u8(1) + one(value)


def fixed(size):
    def one(text):
        data = bytes.fromhex(text)
        assert len(data) == size, text
        return data

    return one


digest = fixed(32)


def challenge(value):
    tags = {"verifier-nonce": 0, "beacon-round": 1, "none": 2}
    return u8(tags[value["kind"]]) + variable(bytes.fromhex(value.get("bytes", "")))


def sha256(data):
    return hashlib.sha256(data).digest()


def framed_sha256(domain, data):
    return sha256(string(domain) + data).hex()


# Field elements.
def domain_element(domain):
    return int.from_bytes(sha256(domain.encode())[:7], "little")


def pack7(data):
    return [int.from_bytes(data[i : i + 7], "little") for i in range(0, len(data), 7)]


def digest_limbs(text):
    """Four canonical u64 of a Poseidon digest."""
    data = digest(text)
    limbs = [int.from_bytes(data[i : i + 8], "little") for i in range(0, 32, 8)]
    assert all(limb < ORDER for limb in limbs), text
    return limbs


def poseidon_input(where, row, domain, elements):
    whole = [domain_element(domain), len(elements)] + elements
    expect(where, [str(element) for element in whole], row["input"])
    digest_limbs(row["digest"])


# Objects, field by field in the order of the protocol.
def checkpoint_roots(value):
    return digest(value["fast_root"]) + digest(value["algebraic_root"])


def roster_device(value):
    return digest(value["device"]) + string(value["kind"]) + string(value["sku"])


def roster_row(value):
    return (
        digest(value["node_key"])
        + digest(value["key_quote"])
        + string(value["cpu_kind"])
        + digest(value["cpu"])
        + listed(value["devices"], roster_device)
    )


def manifest(value):
    return (
        string(value["provider"])
        + string(value["model_id"])
        + string(value["phase"])
        + listed(value["roster"], roster_row)
        + u8(value["spec"]["scheme"])
        + digest(value["spec"]["digest"])
        + digest(value["dataset_root"])
        + string(value["order_rule"])
        + checkpoint_roots(value["initial_checkpoint"])
        + u64(value["interval_millis"])
        + string(value["numeric_policy"])
        + string(value["audit_policy"])
        + string(value["randomness_rule"])
        + listed(value["profiles"], string)
    )


def device_time(value):
    return digest(value["device"]) + b"".join(u64(value[part]) for part in ("run", "other", "idle", "gap"))


def file_digest(value):
    return string(value["name"]) + u64(value["bytes"]) + digest(value["sha256"])


def checkpoint(value):
    return u16(value["attempt"]) + u64(value["step"]) + checkpoint_roots(value) + listed(value["files"], file_digest)


def quoted(value):
    return u64(value["index"]) + digest(value["evidence"])


def window(value):
    return u64(value["index"]) + digest(value["root"])


def public(value):
    return (
        u64(value["index"])
        + bytes(value["boot_id"])
        + u64(value["start_wall"])
        + u64(value["end_wall"])
        + u64(value["start_mono"])
        + u64(value["end_mono"])
        + u8(value["presence"])
        + listed(value["devices"], device_time)
        + listed(value["checkpoints"], checkpoint)
        + listed(value["windows"], window)
        + option(value["quoted"], quoted)
    )


def hkdf_sha256(secret, info, length):
    """RFC 5869 with an empty salt."""
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        output, counter = output + block, counter + 1
    return output[:length]


def evidence_digest(devices):
    def one(row):
        chain = listed(row["certificates"], lambda text: variable(bytes.fromhex(text)))
        return digest(row["device"]) + sha256(bytes.fromhex(row["report"])) + sha256(chain)

    ascending = sorted(devices, key=lambda row: bytes.fromhex(row["device"]))
    return framed_sha256("weighbridge/evidence/v1", listed(ascending, one))


# Sections of the file.
FRAMERS = {
    "u8": u8,
    "u16": u16,
    "u32": u32,
    "u64": u64,
    "u128": lambda value: integer(value, 16),
    "fixed": bytes.fromhex,
    "bytes": lambda value: variable(bytes.fromhex(value)),
    "string": string,
    "list of strings": lambda value: listed(value, string),
    "option of u16": lambda value: option(value, u16),
    "stage": lambda value: u8({"key": 0, "head": 1}[value]),
    "challenge": challenge,
}


def section_framing(rows, _):
    expect("framing: types", {row["type"] for row in rows}, set(FRAMERS))
    for at, row in enumerate(rows):
        expect(f"framing {at} ({row['type']})", FRAMERS[row["type"]](row["value"]).hex(), row["framed"])


def section_domains(rows, _):
    names = [row["domain"] for row in rows]
    expect("domains: each once", len(set(names)), 45)
    for row in rows:
        expect(f"domain {row['domain']}", str(domain_element(row["domain"])), row["element"])


def section_pack7(rows, _):
    for at, row in enumerate(rows):
        expect(f"pack7 {at}", [str(e) for e in pack7(bytes.fromhex(row["bytes"]))], row["elements"])


def section_devices(rows, _):
    for row in rows:
        framed = string(row["kind"]) + variable(bytes.fromhex(row["stable_id"]))
        expect(f"device {row['stable_id']}", framed_sha256("weighbridge/device/v1", framed), row["device"])


def section_device_set(row, _):
    framed = listed(sorted(row["devices"]), digest)
    expect("device_set", framed_sha256("weighbridge/device-set/v1", framed), row["digest"])


def section_node_key(row, _):
    expect("node_key", sha256(digest(row["key"])).hex(), row["digest"])


def section_spec(row, golden):
    spec = bytes.fromhex(row["spec"])
    elements = pack7(fixed(28)(row["salt"])) + [len(spec)] + pack7(spec)
    poseidon_input("spec", row, "weighbridge/spec/v1", elements)
    expect("spec in the manifest", golden["manifest"]["value"]["spec"], {"scheme": 1, "digest": row["digest"]})


def section_manifest(row, _):
    framed = manifest(row["value"])
    expect("manifest", framed.hex(), row["framed"])
    expect("genesis", framed_sha256("weighbridge/genesis/v1", framed), row["genesis"])


def section_public(row, _):
    framed = public(row["value"])
    expect("public", framed.hex(), row["framed"])
    expect("public digest", framed_sha256("weighbridge/public/v2", framed), row["digest"])


def section_salt(row, golden):
    info = string("weighbridge/salt/v1") + u64(row["index"])
    expect("salt", hkdf_sha256(bytes.fromhex(row["node_secret"]), info, 28).hex(), row["salt"])
    expect("salt of the meter", golden["meter"]["salt"], row["salt"])


def section_meter(row, _):
    elements = [int(part) for part in row["reading"]] + pack7(fixed(28)(row["salt"]))
    poseidon_input("meter", row, "weighbridge/meter/v1", elements)


def section_head_0(rows, golden):
    expect("head_0: with and without predecessor", [row["predecessor"] is None for row in rows], [True, False])
    roster = golden["manifest"]["value"]["roster"][0]
    devices = sorted([roster["cpu"]] + [row["device"] for row in roster["devices"]])
    for row in rows:
        expect("head_0: genesis", row["genesis"], golden["manifest"]["genesis"])
        device_set = framed_sha256("weighbridge/device-set/v1", listed(devices, digest))
        expect("head_0: device set", row["device_set"], device_set)
        elements = pack7(digest(row["genesis"])) + pack7(sha256(digest(row["node_key"])))
        elements += pack7(digest(row["device_set"]))
        elements += [0] * 4 if row["predecessor"] is None else digest_limbs(row["predecessor"])
        poseidon_input("head_0", row, "weighbridge/head0/v1", elements)


def section_head_i(row, golden):
    expect("head_i: previous", row["previous"], golden["head_0"][0]["digest"])
    expect("head_i: meter", row["meter"], golden["meter"]["digest"])
    expect("head_i: public", row["public"], golden["public"]["digest"])
    elements = [row["index"]] + digest_limbs(row["previous"]) + digest_limbs(row["meter"])
    poseidon_input("head_i", row, "weighbridge/head/v1", elements + pack7(digest(row["public"])))


def section_entry(row, golden):
    expect("entry: head", row["head"], golden["head_i"]["digest"])
    framed = string("weighbridge/entry/v1") + digest(row["genesis"]) + u64(row["index"]) + digest(row["head"])
    expect("entry", framed.hex(), row["signing_bytes"])


def section_timestamp(row, golden):
    expect("timestamp: node key", row["node_key_digest"], golden["node_key"]["digest"])
    about = digest(row["node_key_digest"]) + u64(row["index"]) + digest(row["head"])
    imprint = sha256(string("weighbridge/timestamp/v1") + about)
    expect("timestamp: imprint", imprint.hex(), row["imprint"])
    # TimeStampReq: version 1, SHA-256 with NULL, the imprint, certReq TRUE (RFC 3161 section 2.4.1).
    query = bytes.fromhex("30390201013031300d060960864801650304020105000420") + imprint + bytes.fromhex("0101ff")
    expect("timestamp: query", query.hex(), row["query"])


def section_evidence(row, _):
    expect("evidence_digest", evidence_digest(row["devices"]), row["digest"])


def section_bindings(rows, golden):
    expect("bindings: stages", {row["stage"] for row in rows}, {"key", "head"})
    for at, row in enumerate(rows):
        suffix = "/key/v1" if row["stage"] == "key" else "/v1"
        about = (
            digest(row["genesis"])
            + digest(row["node_key_digest"])
            + digest(row["head"])
            + u64(row["index"])
            + challenge(row["challenge"])
        )
        if row["stage"] == "key":
            zero = "00" * 32
            expect(f"binding {at}: zeros", (row["genesis"], row["head"], row["index"]), (zero, zero, 0))
        nonce = sha256(string("weighbridge/gpu-nonce" + suffix) + about + digest(row["device"]))
        expect(f"binding {at}: gpu_nonce", nonce.hex(), row["gpu_nonce"])
        expect(f"binding {at}: evidence_digest", row["evidence_digest"], golden["evidence"]["digest"])
        data = string("weighbridge/report-data" + suffix) + about + digest(row["evidence_digest"])
        expect(f"binding {at}: report_data", hashlib.sha512(data).hexdigest(), row["report_data"])


def main(arguments):
    if len(arguments) != 2:
        print(f"usage: {arguments[0]} golden.json", file=sys.stderr)
        return 2
    with open(arguments[1], encoding="utf-8") as file:
        golden = json.load(file)
    expect("format", golden.pop("format"), "weighbridge/golden-vectors/v1")
    sections = {name[len("section_") :]: one for name, one in globals().items() if name.startswith("section_")}
    expect("sections", sorted(golden), sorted(sections))
    for name in golden:
        if name in sections:
            sections[name](golden[name], golden)
    for difference in differences:
        print(difference, file=sys.stderr)
    print(f"{checked - len(differences)} of {checked} values agree")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
