"""Write a topology to a file: `python -m models resnet50 -o resnet50.onnx`."""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

from models import TOPOLOGIES


def main() -> None:
    """Parse the command line, build, save."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.add_argument("topology", choices=sorted(TOPOLOGIES))
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    parser.add_argument("--batch", default="N", help="a number, or a name for a dynamic batch (default N)")
    parser.add_argument("--image", type=int, default=224, help="height and width (default 224)")
    arguments = parser.parse_args()
    batch = int(arguments.batch) if arguments.batch.isdigit() else arguments.batch
    try:
        model = TOPOLOGIES[arguments.topology](seed=arguments.seed, batch=batch, image=arguments.image)
    except ValueError as error:
        parser.error(str(error))
    onnx.save(model, arguments.output)


if __name__ == "__main__":
    main()
