"""Fill a bill of materials' missing licences in: ``python fill_licences.py licences.tsv sbom.json OUT``."""

import json
import sys
from pathlib import Path


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def fill(bill: dict, known: dict[str, str]) -> list[str]:
    """Give each component without a licence the one that is known. Return the names of those that stay without."""
    missing = []
    for each in bill["components"]:
        if each.get("licenses"):
            continue
        expression = known.get(canonical(each["name"]))
        if expression is None:
            missing.append(f"{each['name']} {each.get('version', '')}")
        else:
            each["licenses"] = [{"expression": expression, "acknowledgement": "concluded"}]
    return missing


def table(text: str) -> dict[str, str]:
    """Read lines of name, SPDX expression and source, with tabs between them."""
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {canonical(name): expression for name, expression, _ in rows}


if __name__ == "__main__":
    licences, source, out = map(Path, sys.argv[1:])
    bill = json.loads(source.read_text())
    missing = fill(bill, table(licences.read_text()))
    out.write_text(json.dumps(bill, indent=2) + "\n")
    print(f"{out}: {len(bill['components'])} packages, {len(missing)} without a licence")
    for each in missing:
        print(f"  {each}: add it to {licences}", file=sys.stderr)
    sys.exit(bool(missing))
