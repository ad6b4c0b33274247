/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * weak.h - what a load may find: a machine of messages and views
 *
 * Each store leaves a message in its word's history; later ones come after it, in the order in which they are made. A
 * thread has a view: for each word, the oldest message that it may still read. A load reads any message from there on;
 * what it reads moves its view of the word. A release puts the thread's view into its message, an acquire that reads
 * the message takes it over; a read-modify-write reads the newest message and hands on the view of the one it replaces
 * (release sequences). A compare-and-swap that fails is a load.
 *
 * That is RC11 (Lahav et al., PLDI 2017) without fences and sequentially consistent accesses, which the library does
 * not use, and with one restriction: a store always becomes the newest. Delayed stores (store buffering), stale loads,
 * reads of independent writes in different orders, and publication without order are found. Not found: load buffering,
 * which RC11 forbids and hardware may show for relaxed accesses only; stores that the coherence order puts before
 * ones made earlier (2+2W); and races of plain accesses, which ThreadSanitizer looks for. litmus.c shows each.
 *
 * Grace periods and mutexes hand views on as they must: a section that begins after call_rcu() sees what its caller
 * saw, a callback sees what the sections before it saw.
 */
#ifndef RMAP_EXPLORE_WEAK_H
#define RMAP_EXPLORE_WEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forgets all messages; @on: from now on loads have choices. */
void weak_begin(bool on);

/*
 * How many messages @actor may read at @word now, newest first; as far as they can be the outcome of a compare-and-swap
 * that expects *@expected, if that is not NULL: the newest, and older ones that differ from it. At least 1.
 */
unsigned weak_choices(unsigned actor, const uint64_t *word, const uint64_t *expected);

/* Reads the @choice-th of these, 0 the newest. */
uint64_t weak_read(unsigned actor, const uint64_t *word, const uint64_t *expected, unsigned choice, int order);

/* The same, relaxed, of memory that may be another's by now. */
uint64_t weak_read_stray(unsigned actor, const uint64_t *word, unsigned choice);

/* @word begins a new life: to read one of its messages of before is an error, but for weak_read_stray(). */
void weak_taken(const uint64_t *word);

/* A store, or with @update the write of a read-modify-write, whose read has been made. Changes the word itself, too. */
void weak_write(unsigned actor, uint64_t *word, uint64_t value, int order, bool update);

/* Views that are handed on outside of words: by mutexes, by the ends of sections, by call_rcu, by callbacks. */
enum weak_channel { WEAK_MUTEX, WEAK_SECTION_END, WEAK_GRACE_PERIOD, WEAK_CALLBACK, WEAK_CHANNELS };
void weak_send(unsigned actor, enum weak_channel channel);
void weak_receive(unsigned actor, enum weak_channel channel);

/* The operations of @of that @actor knows to have ended; weak_tick() ends one of @actor's own. */
void weak_tick(unsigned actor);
unsigned weak_known(unsigned actor, unsigned of);

#endif
