# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by tools/quickstart and tools/test, before packages.sh: shows that
# something goes on while a step takes minutes. A step is a command whose output is
# of interest only when it fails. Its line says what, how far (ninja's [done/all]),
# and for how long:
#
#   on a terminal   one line, which is updated every second
#   elsewhere       one line when it begins, every 20 seconds, and when it ends
#
# No line is longer than 80 columns. The command runs in the foreground of a
# pipeline, so that an interrupt reaches it and its questions can be answered.

# tapio_step WHAT COMMAND...: returns the status of the command. Its output is
# shown when it fails.
tapio_step() {
	local what=$1 log status=0 began=$SECONDS word="done"

	shift
	log=$(mktemp)
	[ -t 1 ] || printf '   %s ...\n' "$what"
	"$@" 2>&1 | tapio_watch "$what" "$log" || status=$?
	[ $status -eq 0 ] || word=FAILED
	[ ! -t 1 ] || printf '\r'
	tapio_line "$what" "$word" $((SECONDS - began))
	echo
	# Without ninja's [n/m] lines of what went well.
	[ $status -eq 0 ] || grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" |
		tail -n 100 | sed 's/^/      /' >&2
	rm -f "$log"
	return $status
}

# tapio_line WHAT PROGRESS SECONDS
tapio_line() {
	printf '   %-42.42s %6s %4d s' "$1" "$2" "$3"
}

# The output of a step: to the log, and what it says about the progress to a line.
tapio_watch() {
	local what=$1 log=$2 line part='' percent='' began=$SECONDS told=0 now status

	while :; do
		status=0
		IFS= read -r -t 1 line || status=$?
		part+=$line
		if [ $status -le 128 ]; then
			printf '%s\n' "$part" >>"$log"
			if [[ $part =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
				percent="$((100 * BASH_REMATCH[1] / BASH_REMATCH[2])) %"
			fi
			part=
		fi
		[ $status -eq 0 ] || [ $status -gt 128 ] || break
		now=$((SECONDS - began))
		if [ -t 1 ] && [ $now -ne $told ]; then
			printf '\r'
			tapio_line "$what" "$percent" $now
			told=$now
		elif [ ! -t 1 ] && [ $now -ge $((told + 20)) ]; then
			tapio_line "$what" "$percent" $now
			echo
			told=$now
		fi
	done
}
