/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bad.c - labels that scripts/check-labels must refuse; not compiled
 *
 *      label  orders                      what is wrong
 *      R1     the word before its flag    stands at a relaxed store
 *      A1     pairs with R1               stands at a relaxed load
 *      R2     the same                    stands at a relaxed compare-and-swap
 *      A2     pairs with R2               stands at a store
 *      R3     the same                    stands at an acquire
 *      A3     pairs with R3               nothing
 */
void set(uint64_t *flag)
{
	uint64_t unset = 0;

	store_rlx(flag, 1); /* R1: pairs with A1. */
	/* R2: publishes the word; a comment of its own, and a
	 * statement on two lines. */
	if (cas_rlx(flag, &unset,
		    1))
		return;
	/* R3: pairs with A3. */
	(void)load_acq(flag);
}

uint64_t get(uint64_t *flag)
{
	if (load_rlx(flag) == 0) /* A1: pairs with R1. */
		store_rel(flag, 2); /* A2: pairs with R2. */
	return load_acq(flag);      /* A3: pairs with R3. */
}
