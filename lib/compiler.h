/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compiler.h - what a compiler is told about calls and loops where it would choose worse
 *
 * UNROLLED:      before a loop over the slots of a line: what a turn costs is most of it
 * ALWAYS_INLINE: with constants for arguments little is left of the function
 * OUT_OF_LINE:   for what is rare, or costs much beside a call, so that the short ways need not save its registers
 *
 * Who optimises for size wants neither of the first two.
 */
#ifndef RMAP_LIB_COMPILER_H
#define RMAP_LIB_COMPILER_H

#ifdef __OPTIMIZE_SIZE__
#define UNROLLED
#define ALWAYS_INLINE inline
#else
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif
#define ALWAYS_INLINE inline __attribute__((always_inline))
#endif

#define OUT_OF_LINE __attribute__((noinline))

#endif
