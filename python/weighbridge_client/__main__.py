"""Runs a training script unchanged, with capture and reports as the environment orders them:

    WEIGHBRIDGE_CAPTURE=traces WEIGHBRIDGE_CAPTURE_STEPS=10,200 python -m weighbridge_client train.py ARGUMENTS
    WEIGHBRIDGE_REPORT=1 WEIGHBRIDGE_FLOP_PER_STEP=1000000000 python -m weighbridge_client train.py ARGUMENTS
"""
import runpy
import sys

from weighbridge_client import capture, loops


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return 2
    capture.from_environment()
    loops.from_environment()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
