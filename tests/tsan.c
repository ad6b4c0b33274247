/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tsan.c - what ThreadSanitizer must not look at, linked into every program of the ThreadSanitizer build
 *
 * liburcu's shared objects are not instrumented: the sanitizer sees the memory accesses of the functions it intercepts
 * in them, but none of the barriers and assembly that order those accesses, and so reports their internals (the queue
 * and the thread of call_rcu) whatever a program does. What liburcu guarantees to its callers is told to the sanitizer
 * by the library itself, as acquire and release on the map's sync variables, so nothing of ours goes unseen. One line
 * for each liburcu object that a program links; the names are exact, for a name that matches two objects makes the
 * sanitizer stop.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:liburcu-bp.so\n"
	       "called_from_lib:liburcu-memb.so\n"
	       "called_from_lib:liburcu-mb.so\n"
	       "called_from_lib:liburcu-cds.so\n"
	       "called_from_lib:liburcu-qsbr.so\n";
}
