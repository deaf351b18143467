# SPDX-License-Identifier: Apache-2.0
"""Shared by the scripts beside it: the tree's files, and the comments of C."""
import os
import pathlib
import re
import subprocess

# One comment or one literal. The groups are a comment's and a string's text.
C_TOKEN = re.compile(r'/\*(.*?)\*/|//([^\n]*)|"((?:[^"\\\n]|\\.)*)"'
                     r"|'(?:[^'\\\n]|\\.)*'", re.S)


def root():
    """The source tree: that of the build that runs the tests, or this one."""
    return pathlib.Path(os.environ.get("TAPIO_SOURCE")
                        or pathlib.Path(__file__).resolve().parents[2])


def listed(tree):
    """The paths of its files, without what git ignores where there is git, and
    without the fuzzers' corpus."""
    git = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=tree, capture_output=True, text=True, check=False)
    names = git.stdout.split("\n") if not git.returncode else [
        str(path.relative_to(tree)) for path in tree.rglob("*")
        if not any(part.startswith(("build", ".")) for part in
                   path.relative_to(tree).parts)]
    return sorted(name for name in names if name and "/corpus/" not in name
                  and (tree / name).is_file())
