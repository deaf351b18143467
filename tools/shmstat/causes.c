/* SPDX-License-Identifier: Apache-2.0 */
/* The table of causes, and filling its sentences. See the header. */
#include "tools/shmstat/causes.h"

/* clang-format off */
const struct stat_cause stat_causes[CAUSES] = {
	[CAUSE_ORPHANED] =
		{"orphaned-instance", SEVERITY_FAULT,
		 "the broker's process is gone, and no process holds the "
		 "descriptors of the memory",
		 "the broker (process {pid}) and its keeper are gone: the "
		 "memory of instance {instance} lives on only since {clients "
		 "client maps|map} it, no death is repaired, and no process "
		 "can join",
		 "start tapiod: clients move to its memory by themselves. "
		 "Before that, tapio-shmstat --instance {instance} ledger "
		 "counts what groups have not read"},
	[CAUSE_FORMER] =
		{"former-instance", SEVERITY_FAULT,
		 "the broker of the memory has stopped, and the memory is "
		 "still mapped",
		 "the broker of instance {instance} has stopped: this is "
		 "memory of before, {clients client maps|map} it, and no new "
		 "event comes to it from others",
		 "start tapiod: clients move to its memory by themselves. A "
		 "client that stays (tapio-shmstat clients shows it) has to "
		 "be restarted"},
	[CAUSE_BROKER_AWAY] =
		{"broker-away", SEVERITY_FAULT,
		 "the broker's process is gone, and a keeper holds the memory",
		 "the broker (process {pid}) is gone, and process {held_by} "
		 "keeps its memory: events flow, but no death is repaired and "
		 "no process can join until the next broker has started",
		 "wait a moment, then look at the log of the service: "
		 "journalctl -u tapiod"},
	[CAUSE_BROKER_STOPPED] =
		{"broker-stopped", SEVERITY_FAULT,
		 "the broker's process is in state T: by SIGSTOP, or by a "
		 "debugger",
		 "the broker (process {pid}) is stopped: events flow, but no "
		 "death is repaired and no process can join",
		 "kill -CONT {pid}"},
	[CAUSE_UNREADABLE] =
		{"channel-unreadable", SEVERITY_FAULT,
		 "the memory of the channel cannot be had, though there is a "
		 "right to it",
		 "channel {channel} cannot be looked into: {error}",
		 "look as root, or into the broker itself: tapio-shmstat "
		 "--pid $(pgrep -x tapiod) channels"},
	[CAUSE_RULES_BROKEN] =
		{"rules-broken", SEVERITY_FAULT,
		 "a rule of the memory does not hold",
		 "{broken rule does|do} not hold in the memory: a process has "
		 "written values that no honest one writes",
		 "tapio-shmstat check names each with its numbers"},
	[CAUSE_IMPOSSIBLE] =
		{"impossible-words", SEVERITY_FAULT,
		 "the words of a lane, or of a group on it, contradict each "
		 "other",
		 "lane {lane} of channel {channel}[, group {group},] has "
		 "words that contradict each other: {faults}",
		 "tapio-shmstat check names the rules that do not hold; "
		 "restart the producers or the members that write there"},
	[CAUSE_QUARANTINED] =
		{"lane-quarantined", SEVERITY_FAULT,
		 "a member has found an impossible state or descriptor in a "
		 "lane, and passed it over",
		 "group {group} of channel {channel} has passed over what is "
		 "impossible ({faults}) on {lanes lane}, the first is lane "
		 "{lane}: {lost event is|are} lost there",
		 "find the producer that writes there: tapio-shmstat clients. "
		 "The mark stays until the group begins anew: restart its "
		 "members. End a durable one: tapio-group remove -- {channel} "
		 "{group}, or, if tapiod.conf names it, take it out there, "
		 "systemctl reload tapiod, and put it back"},
	[CAUSE_EVICTED] =
		{"group-evicted", SEVERITY_FAULT,
		 "the broker has ended a group with cursors that no honest one "
		 "has",
		 "group {group} of channel {channel} was evicted: its cursors "
		 "were impossible at three looks of the broker, and its "
		 "members get no more events",
		 "restart its members, which make the group anew. The log "
		 "says what was impossible: journalctl -u tapiod"},
	[CAUSE_STARVES] =
		{"group-starves", SEVERITY_FAULT,
		 "a lossless group keeps all blocks of a lane, and events "
		 "were refused there",
		 "lossless group {group} of channel {channel} keeps "
		 "{in_flight} of {blocks block} of lane {lane} (class "
		 "{class}), so producers there find no room: {refused event "
		 "was|were} refused so far[, {refused_now} of them in the "
		 "last {seconds} s]. Of its members: {members_say}",
		 "make the members read: the causes below name those that do "
		 "not. Else stop them, and end a durable group: tapio-group "
		 "remove -- {channel} {group}, or, if tapiod.conf names it, take "
		 "it out there, then systemctl reload tapiod. Or configure group "
		 "{group} { policy = until }",
		 "start a member, for example tapio-tail -c {channel} -g "
		 "{group}; else end the group: tapio-group remove -- {channel} "
		 "{group}, or, if tapiod.conf names it, take it out there, "
		 "then systemctl reload tapiod. Or configure group {group} { policy = "
		 "until }"},
	[CAUSE_AT_LAG] =
		{"group-at-lag", SEVERITY_FAULT,
		 "a group that is kept up to its lag has so many events "
		 "unread on a lane, and producers overwrite them",
		 "group {group} of channel {channel} is at its lag on {lanes "
		 "lane}: on lane {lane} (class {class}) {in_flight} unread, a "
		 "lag of {lag}, {blocks block}. What is older is overwritten: "
		 "{lost event} lost so far[, {lost_now} in the last {seconds} "
		 "s]. Of its members: {members_say}",
		 "read faster, or with more members; tapio-shmstat advise "
		 "--channel {channel} says how many blocks and which lag "
		 "would do",
		 "start a member, for example tapio-tail -c {channel} -g "
		 "{group}, and keep one running"},
	[CAUSE_SIDE_EXHAUSTED] =
		{"side-lanes-exhausted", SEVERITY_FAULT,
		 "all side lanes of a class are taken, and events were "
		 "refused for want of one",
		 "class {class} of channel {channel} has {side_lanes side "
		 "lane}, all are taken, and {refused event was|were} refused "
		 "to other producers for want of one[, {refused_now} in the "
		 "last {seconds} s]. Producers need them because: {reason}",
		 "in tapiod.conf: channel {channel} { class {class} { "
		 "side_lanes = {side_lanes_more} } }, and new memory (a "
		 "restart of tapiod)"},
	[CAUSE_CLIENT_DEAD] =
		{"client-dead", SEVERITY_FAULT,
		 "an attachment is there, and its process is gone",
		 "process {pid} ({comm}) is dead, and still attached to "
		 "channel {channel} to {role}[ in group {group}]: what it "
		 "held is not given back[, {lanes lane} with {unread} unread]",
		 "the broker repairs this within milliseconds when it runs: "
		 "see the causes about the broker"},
	[CAUSE_CLOCK_OFF] =
		{"clock-off", SEVERITY_FAULT,
		 "stamps of the processor's counter, converted now, are off "
		 "from the system's clock by more than a millisecond",
		 "time stamps are off by {off_ns ns} against the system's "
		 "clock",
		 "see whether the clock is steady: chronyc tracking, and cat "
		 "/sys/devices/system/clocksource/clocksource0/current_clocksource. "
		 "A channel with stamp = clock does not depend on the counter"},
	[CAUSE_MISPLACED] =
		{"misplaced-pages", SEVERITY_FAULT,
		 "pages of a segment lie on another NUMA node than its lanes' "
		 "CPUs",
		 "of the memory of channel {channel} for node {node}, {pages "
		 "page lies|lie} on other nodes: each event there crosses the "
		 "machine",
		 "free memory on node {node} (numactl -H), then restart "
		 "tapiod, which places it anew"},
	[CAUSE_NO_RIGHT] =
		{"no-right", SEVERITY_WARNING,
		 "the broker does not let this user inspect the channel",
		 "nothing is known about channel {channel}: {error}",
		 "in tapiod.conf: allow lookers { channel = {channel} uid = "
		 "{{uid}} role = {inspect} }, then systemctl reload tapiod; "
		 "or look as root"},
	[CAUSE_NO_CHANNEL] =
		{"no-channel", SEVERITY_WARNING,
		 "the channel that was asked about is not there",
		 "there is no channel {channel}: there are {channels}",
		 "name one of these, or add channel {channel} { } to "
		 "tapiod.conf, then systemctl reload tapiod"},
	[CAUSE_NO_GROUP] =
		{"no-group", SEVERITY_WARNING,
		 "the group that was asked about is not there",
		 "there is no group {group}[ on channel {channel}]: its last "
		 "member has left, or none has come. There are {groups}",
		 "start a member; a group { } in the channel's section of "
		 "tapiod.conf makes one that stays without members"},
	[CAUSE_NO_CLIENT] =
		{"client-not-attached", SEVERITY_WARNING,
		 "the process that was asked about has no attachment, and "
		 "maps no memory of another broker",
		 "process {pid} is attached to no channel of this broker[ (it "
		 "is {comm})]",
		 "see whether its open failed, and with which error; whether "
		 "it uses another socket: tr '\\0' '\\n' </proc/{pid}/environ "
		 "| grep TAPIO"},
	[CAUSE_ELSEWHERE] =
		{"client-elsewhere", SEVERITY_WARNING,
		 "the process that was asked about maps the memory of another "
		 "instance only",
		 "process {pid} ({comm}) maps memory of another instance, and "
		 "none of this broker: it emits to and reads from memory that "
		 "no other process sees",
		 "tapio-shmstat --pid {pid} shows that memory. A client moves "
		 "here by itself within 100 ms of a call; one that makes no "
		 "calls, or was refused, has to be restarted"},
	[CAUSE_BROKER_SILENT] =
		{"broker-silent", SEVERITY_WARNING,
		 "the broker runs, and does not answer in time",
		 "the broker (process {pid}) did not answer: {note}",
		 "ask again with --timeout 5s; if it stays so, see what it "
		 "does: journalctl -u tapiod, cat /proc/{pid}/stack"},
	[CAUSE_DRAINING] =
		{"channel-draining", SEVERITY_WARNING,
		 "the configuration does not name the channel any more",
		 "channel {channel} was removed from the configuration: it "
		 "takes no new producers and groups, and its memory goes when "
		 "its clients ({attached}) have left and durable groups have "
		 "read all of it ({unread} unread[, without "
		 "{groups_not_read group} that could not be read])",
		 "add channel {channel} to tapiod.conf again, then systemctl "
		 "reload tapiod; or let its groups read it empty"},
	[CAUSE_CLIENT_STOPPED] =
		{"client-stopped", SEVERITY_WARNING,
		 "a client's process is in state T: by SIGSTOP, or by a "
		 "debugger",
		 "process {pid} ({comm}), attached to channel {channel} to "
		 "{role}[ in group {group}], is stopped[: {in_hand event} in "
		 "its hands, {unread} unread on {lanes lane}]",
		 "kill -CONT {pid}"},
	[CAUSE_CLIENT_SLEEPS] =
		{"member-asleep", SEVERITY_WARNING,
		 "events wait for a member, and it has not called tapio_poll "
		 "meanwhile",
		 "member {pid} ({comm}) of group {group} of channel {channel} "
		 "does not poll: {in_hand event} in its hands, {unread} "
		 "unread on {lanes lane}[. Another member takes them over "
		 "{takeover_ns ns} after its last call]",
		 "see where it is: cat /proc/{pid}/wchan, gdb -p {pid}; or "
		 "start another member of the group"},
	[CAUSE_UNTAKEN] =
		{"lanes-untaken", SEVERITY_WARNING,
		 "a group has members, and events on lanes that no member has "
		 "taken",
		 "group {group} of channel {channel} has {unread event} on "
		 "{lanes lane} that no member has taken (of {members}), at "
		 "both looks",
		 "a member takes lanes when it polls: see that it does"},
	[CAUSE_HOLDS] =
		{"group-holds-lane", SEVERITY_WARNING,
		 "a lossless group keeps all blocks of a lane, and no event was "
		 "refused there yet",
		 "lossless group {group} of channel {channel} keeps all "
		 "{blocks block} of lane {lane} (class {class}): the next event "
		 "there is refused[ after a wait of {wait_ns ns}]. Of its "
		 "members: {members_say}",
		 "make the members read, or add some; tapio-shmstat advise "
		 "--channel {channel} says how many blocks would do",
		 "start a member, for example tapio-tail -c {channel} -g "
		 "{group}, and keep one running"},
	[CAUSE_NO_MEMBER] =
		{"group-without-members", SEVERITY_WARNING,
		 "a durable group has no member, and events unread",
		 "group {group} of channel {channel} has no member, and "
		 "{unread event waits|wait} for it",
		 "start a member, for example tapio-tail -c {channel} -g "
		 "{group}; or end the group: tapio-group remove -- {channel} "
		 "{group}, or, if tapiod.conf names it, take it out there, "
		 "then systemctl reload tapiod"},
	[CAUSE_JOINING] =
		{"group-joins", SEVERITY_WARNING,
		 "the first member of a group was still joining at both looks",
		 "group {group} of channel {channel} is still joining: its "
		 "member waits for the broker",
		 "see the causes about the broker; journalctl -u tapiod"},
	[CAUSE_REFUSED_SIZE] =
		{"class-too-small", SEVERITY_WARNING,
		 "events were refused since they are larger than every block",
		 "{refused event was|were} refused on channel {channel} since "
		 "they are larger than the blocks of class {class} "
		 "({block_bytes} bytes)[, {refused_now} in the last {seconds} "
		 "s]",
		 "in tapiod.conf: channel {channel} { class larger { block = "
		 "{block_more} } }, and new memory (a restart of tapiod)"},
	[CAUSE_REFUSED_FULL] =
		{"no-room", SEVERITY_WARNING,
		 "events were refused for want of a free block, and there is "
		 "room now",
		 "{refused event was|were} refused on channel {channel}, "
		 "class {class}, since a group had not read the blocks yet[, "
		 "{refused_now} in the last {seconds} s][; {timeout} of them "
		 "after a wait]. There is room now",
		 "tapio-shmstat advise --channel {channel} says how many "
		 "blocks would do; more members or policy = until help, too"},
	[CAUSE_REFUSED_HELD] =
		{"too-many-reserved", SEVERITY_WARNING,
		 "events were refused since producers had half of a lane "
		 "reserved",
		 "{refused event was|were} refused on channel {channel}, "
		 "class {class}, since half of a lane was reserved and not "
		 "submitted[, {refused_now} in the last {seconds} s]. {held "
		 "block is|are} reserved now",
		 "submit or discard sooner; or in tapiod.conf: channel "
		 "{channel} { class {class} { blocks = {blocks_more} } }, and "
		 "new memory"},
	[CAUSE_REFUSED_SIDE] =
		{"side-lanes-were-short", SEVERITY_WARNING,
		 "events were refused for want of a side lane, and some are "
		 "free now",
		 "{refused event was|were} refused on channel {channel}, "
		 "class {class}, for want of a side lane. {free} of "
		 "{side_lanes} are free now. Producers need them because: "
		 "{reason}",
		 "in tapiod.conf: channel {channel} { class {class} { "
		 "side_lanes = {side_lanes_more} } }, and new memory (a "
		 "restart of tapiod)"},
	[CAUSE_REQUESTS] =
		{"requests-refused", SEVERITY_WARNING,
		 "the broker has refused requests of clients between the two "
		 "looks",
		 "the broker has refused {refused_now request} of clients in "
		 "the last {seconds} s, {refused} in all: for want of a "
		 "right, a place, or a name",
		 "the client's error text names the rule or the limit, and so "
		 "does the log: journalctl -u tapiod. Rights are allow { } "
		 "sections of tapiod.conf"},
	[CAUSE_BEHIND] =
		{"group-falls-behind", SEVERITY_WARNING,
		 "a group has released fewer events between the looks than "
		 "were published, and more are unread",
		 "group {group} of channel {channel} falls behind: "
		 "{published_s} events/s are published, {done_s} are read, "
		 "{in_flight} are unread[. At this rate it is at its limit in "
		 "{left_s} s]",
		 "more members, or a faster one; tapio-shmstat advise "
		 "--channel {channel} says what a longer stall would take"},
	[CAUSE_LOST] =
		{"group-lost", SEVERITY_WARNING,
		 "a group that is kept up to a lag, or lossless, has lost "
		 "events before",
		 "group {group} of channel {channel} ({policy}) has lost "
		 "{lost event} since it began[, {lost_now} in the last "
		 "{seconds} s]: {delivered} were delivered",
		 "tapio-shmstat advise --channel {channel} says which lag and "
		 "how many blocks would do; or policy = lossless",
		 "it is lossless while it has a member, and it had none then: "
		 "keep one running"},
	[CAUSE_NO_STAMPS] =
		{"stamps-without-time", SEVERITY_WARNING,
		 "a channel has stamps of the processor's counter, and no "
		 "calibration converts them",
		 "channel {channel} has stamps of the processor's counter, "
		 "and the broker could not calibrate it: events have no time",
		 "in tapiod.conf: stamp = clock for the channel"},
	[CAUSE_FILTERED] =
		{"filter-passes-nothing", SEVERITY_NOTE,
		 "between the looks a group with a filter has skipped events, "
		 "and got none",
		 "group {group} of channel {channel} has skipped all "
		 "{skipped_now event} of the last {seconds} s: its members' "
		 "filter (types, severity, classes) passes none of them",
		 "see what comes: tapio-tail -c {channel} -n 5; then widen the "
		 "filter of the members"},
	[CAUSE_NO_PRODUCER] =
		{"no-producer", SEVERITY_NOTE,
		 "no producer is attached to the channel",
		 "no producer is attached to channel {channel}, {published "
		 "event was|were} published so far",
		 "start one, or see why it cannot open the channel; to try "
		 "it: echo hello | tapio-emit --channel {channel}"},
	[CAUSE_NO_EVENTS] =
		{"no-events", SEVERITY_NOTE,
		 "producers are attached, and published nothing between the "
		 "looks",
		 "{producers producer is|are} attached to channel {channel}, "
		 "and none has published an event in the last {seconds} s "
		 "({published} so far)",
		 "see whether they should: tapio-shmstat clients names them. "
		 "To try the channel: echo hello | tapio-emit --channel "
		 "{channel}"},
	[CAUSE_FILTER] =
		{"filter", SEVERITY_NOTE,
		 "the members of a group have a filter",
		 "the members of group {group} of channel {channel} have a "
		 "filter: {skipped event was|were} skipped (with what "
		 "producers discarded), {delivered} delivered",
		 "if events are missing, widen the filter: all members of a "
		 "group have the same one"},
	[CAUSE_LAPPED] =
		{"lossy-lapped", SEVERITY_NOTE,
		 "a lossy group has lost events",
		 "lossy group {group} of channel {channel} has lost {lost "
		 "event}[, {lost_now} in the last {seconds} s]: as its policy "
		 "says, producers do not wait for it",
		 "if they matter: policy = until, or more blocks"},
	[CAUSE_SIDE_LANES] =
		{"side-lanes-in-use", SEVERITY_NOTE,
		 "producers emit through side lanes instead of lanes of CPUs",
		 "{producers producer emits|emit} to channel {channel} "
		 "through side lanes, which take a mutex for each event, "
		 "because: {reason}",
		 "Linux 4.18 and glibc 2.35 have restartable sequences; "
		 "GLIBC_TUNABLES=glibc.pthread.rseq=0, valgrind and gVisor do "
		 "not"},
	[CAUSE_UNBOUND] =
		{"pages-unbound", SEVERITY_NOTE,
		 "the kernel refused to bind memory to its NUMA node",
		 "the memory of channel {channel} for node {node} could not "
		 "be bound to it ({error})",
		 "in a container allow mbind(2): a seccomp profile, or "
		 "CAP_SYS_NICE"},
	[CAUSE_SMALL_PAGES] =
		{"small-pages", SEVERITY_NOTE,
		 "a large segment has plain pages, since the kernel gave no "
		 "better ones",
		 "of channel {channel}, {segments segment has|have} pages of "
		 "{page_bytes B} ({length_bytes B} in all): {errors}",
		 "echo {hugepages} >/proc/sys/vm/nr_hugepages before tapiod "
		 "starts, or echo advise "
		 ">/sys/kernel/mm/transparent_hugepage/shmem_enabled"},
	[CAUSE_CLOCK_SET] =
		{"clock-set", SEVERITY_NOTE,
		 "the system's clock was set between the looks",
		 "the system's clock was set in the last {seconds} s ({steps "
		 "time} since the first broker): times of events jump there",
		 "let the clock be slewed: chronyd without makestep, or with "
		 "a small limit"},
	[CAUSE_RELOAD_REFUSED] =
		{"reload-refused", SEVERITY_NOTE,
		 "the broker has refused a changed configuration",
		 "the broker has refused a changed configuration {refusals "
		 "time}: an older one may be in force",
		 "the log names the line: journalctl -u tapiod"},
	[CAUSE_REFUSED_REQUESTS] =
		{"requests-were-refused", SEVERITY_NOTE,
		 "the broker has refused requests of clients, and none "
		 "between the looks",
		 "the broker has refused {refused request} of clients since "
		 "it started: for want of a right, a place, or a name",
		 "the log names each with its rule or limit: journalctl -u "
		 "tapiod"},
};
/* clang-format on */

const char *severity_name(enum severity severity)
{
	static const char *const names[SEVERITIES] = {"fault", "warning",
						      "note"};

	return names[severity];
}
