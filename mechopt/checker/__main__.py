"""`python -m checker CERTIFICATE.json`: exit status 0 verified, 1 refuted, 2 not readable."""

import json
import sys

from . import Refuted, verify


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m checker CERTIFICATE.json", file=sys.stderr)
        return 2
    try:
        with open(arguments[0], encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        print(f"cannot read {arguments[0]}: {error}", file=sys.stderr)
        return 2
    try:
        facts = verify(document)
    except Refuted as why:
        print(f"REFUTED: {why}")
        return 1
    print("verified: " + "; ".join(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
