#!/usr/bin/env python3
"""Count the outcomes in a JUnit XML file, of ctest or of pytest: prints `PASSED FAILED SKIPPED`, and the names of
the failed ones on stderr.

A test that ctest could not start (its program is missing) counts as failed; so does a file that is no JUnit XML.
"""
import sys
import xml.etree.ElementTree as ElementTree


def outcome_of(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    status = case.get("status", "run")
    skipped = case.find("skipped")
    if status == "disabled":
        return "skipped"
    if status == "notrun":
        # ctest says so both for a program that asked to be skipped and for one that is missing.
        reason = skipped.get("message", "") if skipped is not None else ""
        return "skipped" if reason.startswith("SKIP_") else "failed"
    if status == "fail":
        return "failed"
    return "skipped" if skipped is not None else "passed"


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        cases = list(ElementTree.parse(sys.argv[1]).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        print("0 1 0")
        return
    for case in cases:
        outcome = outcome_of(case)
        counts[outcome] += 1
        if outcome == "failed":
            print("failed: " + ".".join(filter(None, [case.get("classname"), case.get("name")])), file=sys.stderr)
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main()
