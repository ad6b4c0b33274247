/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * watch.h - a report that is made again and again
 *
 * On a terminal each report takes the place of the one before; elsewhere they follow each other.
 */
#ifndef WATCH_H
#define WATCH_H

#include "tool.h"

#define WATCH_SECONDS_MAX 86400

/**
 * watch - call @report(@arg) at once, and then every @seconds seconds
 *
 * It goes on until SIGINT or SIGTERM comes, which a report under way does not notice, until nobody reads standard
 * output any more, or until a report lacks something.
 * Return: the greatest status of all reports
 */
int watch(unsigned seconds, int (*report)(void *arg), void *arg);

/** watch_rows - how many rows the terminal has that standard output is; 0 if it is none, or does not tell */
unsigned watch_rows(void);

/** watch_part - what stands before a report in text: it empties the screen, or leaves a line empty unless @first */
void watch_part(bool first);

#endif
