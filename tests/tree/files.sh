# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by the scripts beside it. tree_files PATTERN... lists the files of the
# source tree, one a line: those that git does not ignore, or, in a tree without
# git, those that are not hidden and not in a build directory.
set -euo pipefail
cd "${TAPIO_SOURCE:-$(dirname "${BASH_SOURCE[0]}")/../..}"

tree_files() {
	local pattern

	if git ls-files --error-unmatch CMakeLists.txt >/dev/null 2>&1; then
		# A file that is deleted but not yet committed is still listed.
		git ls-files --cached --others --exclude-standard -- "$@" |
			while read -r pattern; do
				if [ -f "$pattern" ]; then
					printf '%s\n' "$pattern"
				fi
			done
		return 0
	fi
	for pattern in "$@"; do
		find . \( -path './build*' -o -path './.git' \) -prune -o \
			-type f -name "$pattern" -printf '%P\n'
	done | sort -u
}

# need COMMAND: skips the test when there is no such command.
need() {
	if ! command -v "$1" >/dev/null; then
		echo "$1 is not installed"
		exit 77
	fi
}

# some FILE-LIST: a check that looked at nothing has shown nothing.
some() {
	if [ -z "$1" ]; then
		echo "no files found to check" >&2
		exit 1
	fi
}
