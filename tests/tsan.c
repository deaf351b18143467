/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ThreadSanitizer lets pass. It is part of each test in that flavour.
 *
 * To it a descriptor is memory. It does not see that liburing closes a ring, nor that clone()
 * makes a pidfd. So when two brokers are in one process, and the number of the ring of one
 * that ends becomes that of a descriptor of the other one, it calls that a race. This
 * look at the ring is let pass. So is the child that reads start times: to ThreadSanitizer,
 * which does not see the clone, it is a thread of the parent.
 */
const char *__tsan_default_suppressions(void)
	__attribute__((visibility("default")));
const char *__tsan_default_suppressions(void)
{
	return "race:^tpi_loop_owned$\n"
	       "race:^be_child$\n";
}
