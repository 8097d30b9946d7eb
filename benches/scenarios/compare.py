#!/usr/bin/env python3
"""How does the engine compare with Nchan, a Node server and an axum server?

The same load on each, in rounds, with a floor in every round: compare.toml says what. Builds the
engine and the load generator, installs Nchan and Node from Debian if they are missing (as root),
builds the axum server, and leaves table, page, environment and every raw report in
benches/runs/<date>-<machine>/compare/. Takes about five minutes; more rounds know more.
"""

import argparse
import os
import subprocess
import time

import rig

FILE = rig.HERE / "compare.toml"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", help="instead of those of compare.toml")
    parser.add_argument("--only", metavar="NAME,NAME", help="only these servers and the floor")
    parser.add_argument("--out", help="folder of the results")
    parser.add_argument("run", nargs="*", metavar="RUN ARGUMENTS",
                        help="of `downpour-load run`, behind --: instead of those of compare.toml")
    chosen = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--workspace"], cwd=rig.ROOT, check=True)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    out = chosen.out or str(rig.HERE.parent / "runs" / f"{day}-{rig.machine_name()}" / "compare")
    rig.write_json(rig.Path(out) / "environment.json", rig.environment())
    target = os.environ.get("CARGO_TARGET_DIR", rig.ROOT / "target")
    words = [f"{target}/release/downpour-load", "compare", str(FILE), "--out", out]
    for flag in ("rounds", "only"):
        if value := getattr(chosen, flag):
            words += [f"--{flag}", value]
    # In its place: signals and the exit code are its own.
    os.execv(words[0], words + ["--", *chosen.run])


if __name__ == "__main__":
    main()
