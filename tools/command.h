/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * command.h - the words of the `rmap` command; bench/bench.h has bench_main(), lab/ has lab_main()
 *
 * Each takes argv[0] as the name for messages, such as "rmap who", and returns an enum status.
 */
#ifndef COMMAND_H
#define COMMAND_H

int diff_main(int argc, char **argv);
int freed_main(int argc, char **argv);
int lab_main(int argc, char **argv);
int shares_main(int argc, char **argv);
int snapshot_main(int argc, char **argv);
int who_main(int argc, char **argv);

#endif
