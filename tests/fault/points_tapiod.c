/* SPDX-License-Identifier: Apache-2.0 */
/* The program tapiod, as a function of a test that is it, too (points_host.c). */
int tapiod_main(int argc, char **argv);
#define main tapiod_main
#include "broker/main.c"
