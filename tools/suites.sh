# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by tools/test: runs suites of tests, and remembers how each one ended, so that all
# of them run even when one fails.

failed=()
unstable=()
summary=()

# suites_begin DIRECTORY JOBS: where the output of the suites goes, and how many tests run at
# once.
suites_begin() {
	results=$1
	test_jobs=$2
}

# suite NAME DIRECTORY [VARIABLE=value...] -- COMMAND...: the command is ctest, or runs it.
suite() {
	local name=$1 directory=$2 status=0 variables=() started=$SECONDS

	shift 2
	while [ "$1" != -- ]; do
		variables+=("$1")
		shift
	done
	shift
	echo
	echo "== test $name"
	# A selection that matches nothing is a mistake, not a success.
	env "${variables[@]}" "$@" --test-dir "$directory" -j "$test_jobs" \
		--repeat until-pass:2 --output-on-failure --no-tests=error \
		--output-junit "$results/$name.xml" |
		tee "$results/$name.log" || status=$?
	suite_note_unstable "$name"
	suite_verdict "$name" $status $((SECONDS - started))
}

# suite_note_unstable NAME: tests that failed, and then passed.
suite_note_unstable() {
	local test

	while read -r test; do
		if grep -qE "Test +#[0-9]+: $test \.+ +Passed" "$results/$1.log"; then
			unstable+=("$1: $test")
		fi
	done < <(sed -nE 's/.*Test +#[0-9]+: ([^ ]+) \.+\*\*\*(Failed|Timeout|Exception).*/\1/p' \
		"$results/$1.log" | sort -u)
}

# suite_verdict NAME STATUS SECONDS
suite_verdict() {
	local word=passed

	if [ "$2" -ne 0 ]; then
		word=FAILED
		failed+=("$1")
	fi
	summary+=("$(printf '%-8s %s, %d s' "$1" "$word" "$3")")
}

# suites_summary: says how all of them ended. Status 1 when one failed.
suites_summary() {
	local skipped

	echo
	echo "== summary ($SECONDS s)"
	printf '%s\n' "${summary[@]}"
	skipped=$(python3 tests/skipped.py "$results"/*.xml || true)
	if [ -n "$skipped" ]; then
		echo "skipped:"
		printf '%s\n' "$skipped"
	fi
	if [ ${#unstable[@]} -gt 0 ]; then
		echo "unstable, passed only when run again (their output is above):"
		printf '  %s\n' "${unstable[@]}"
	fi
	[ ${#failed[@]} -eq 0 ]
}
