# SPDX-License-Identifier: Apache-2.0
"""Lists the tests that were skipped, with the reason that each printed last.

Arguments: JUnit files as ctest writes them, one per suite, named after it.
"""
import pathlib
import sys
import xml.etree.ElementTree as tree


def reason(case):
    lines = (case.findtext("system-out") or "").strip().splitlines()
    return lines[-1].strip() if lines else "it gave no reason"


for path in map(pathlib.Path, sys.argv[1:]):
    for case in tree.parse(path).iter("testcase"):
        if case.find("skipped") is not None:
            print(f"  {path.stem}: {case.get('name')}: {reason(case)}")
