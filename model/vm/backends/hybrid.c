/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hybrid.c - librmap, whose chains have an element for each pte
 *
 * A pte's name is the number of its mm and its vpn. All that is not about names is in library.c.
 */
#include "library.h"
#include "ptes.h"

static bool hybrid_look(struct looking *looking, uint64_t handle, uint32_t count)
{
	uint64_t vpn = handle_vpn(handle);

	return library_look(looking, handle_mm(looking->thread->vm, handle), vpn, vpn + 1, count);
}

static int hybrid_create(struct vm *vm)
{
	static const struct chaining chaining = { .look = hybrid_look };

	return library_create(vm, &chaining);
}

const struct vm_backend vm_backend_hybrid = {
	.name = "hybrid",
	.summary = "librmap: counts what is linear or locked, chains what is not",
	.traits = LIBRARY_TRAITS | VM_BACKEND_FOLIOS,
	.create = hybrid_create,
	PTES_OPERATIONS,
	LIBRARY_OPERATIONS,
};
