"""Writes safetensors files with the standard library alone. The format: a little-endian u64, that many bytes of JSON, data."""
import hashlib
import json
import struct

ALIGNMENT = 8


def write(path, tensors):
    """Writes `tensors`, an iterable of (name, dtype, shape, number of bytes, function that gives them); returns the SHA-256.

    Each tensor's bytes are asked for once, when they are written, so that a capture is not in memory twice.
    """
    header, offset = {}, 0
    rows = list(tensors)
    for name, dtype, shape, size, _ in rows:
        if name in header:
            raise ValueError(f"tensor {name!r} stands twice")
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for part in (struct.pack("<Q", len(text)), text):
            digest.update(part)
            file.write(part)
        for name, _, _, size, give in rows:
            data = give()
            if len(data) != size:
                raise ValueError(f"tensor {name!r} has {len(data)} bytes, not {size}")
            digest.update(data)
            file.write(data)
    return digest.hexdigest()
