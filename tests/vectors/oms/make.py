#!/usr/bin/env python3
"""Makes the OMS vectors anew with the reference tool (tests/python/requirements.txt): python3 make.py

Keys and signatures differ at each run; model, lists and digests do not. tool.txt records the versions.
"""
import importlib.metadata
import pathlib
import shutil
import subprocess
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE / "model"


def tensors(name: str, value: int) -> bytes:
    header = b'{"%s":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}}' % name.encode()
    return len(header).to_bytes(8, "little") + header + bytes([value] * 4)


def run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "model_signing", *map(str, arguments)], check=True, cwd=HERE)


def main() -> None:
    shutil.rmtree(MODEL, ignore_errors=True)
    files = {
        "a.safetensors": tensors("a", 1),
        "b.safetensors": tensors("b", 2),
        "config.json": b"{}\n",
        "a/file": b"in a folder\n",
        "a/deep/.hidden": b"hidden\n",
        "a.txt": b"beside the folder\n",
        "empty": b"",
    }
    for name, content in files.items():
        (MODEL / name).parent.mkdir(parents=True, exist_ok=True)
        (MODEL / name).write_bytes(content)
    for name, curve in {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}.items():
        key = ec.generate_private_key(curve)
        private = HERE / f"{name}.private"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (HERE / f"{name}.pem").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        run("sign", "key", "model", "--private_key", private, "--signature", HERE / f"{name}.sig")
        if name == "p256":
            single = MODEL / "a.safetensors"
            run("sign", "key", single, "--private_key", private, "--signature", HERE / "single.sig")
            subset = ["--ignore-paths", MODEL / "a", "--ignore-paths", MODEL / "b.safetensors"]
            run("sign", "key", "model", *subset, "--private_key", private, "--signature", HERE / "subset.sig")
        # The tests need signatures, not the power to make more.
        private.unlink()
    version = importlib.metadata.version("model-signing")
    (HERE / "tool.txt").write_text(f"model-signing {version}, Python {sys.version.split()[0]}\n")


if __name__ == "__main__":
    main()
