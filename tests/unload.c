/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unload.c - a plugin's use of the library: loaded at run time, used, and closed again
 *
 *      unload LIBRARY
 *
 * The helper thread of liburcu's that a map has made start goes on after the map, so its code must stay. This program
 * is linked with neither library: after dlclose() they are there because librmap says so.
 */
#include <rmap/rmap.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define CYCLES 3

/* A function of the library. Copied, for C converts no object pointer to it. */
static void find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
}

static int is_loaded(const char *name)
{
	void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);

	if (!library)
		fprintf(stderr, "%s has gone, and liburcu's helper thread may run its code\n", name);
	else
		dlclose(library);
	return library != NULL;
}

int main(int argc, char **argv)
{
	int (*create)(const struct rmap_options *options, struct rmap **out);
	int (*destroy)(struct rmap *map);
	struct rmap *map;

	for (int i = 0; argc == 2 && i < CYCLES; i++) {
		void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);

		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		find(library, "rmap_create", &create);
		find(library, "rmap_destroy", &destroy);
		if (!create || !destroy || create(NULL, &map) != 0 || destroy(map) != 0 || dlclose(library) != 0)
			return 1;
		if (!is_loaded(argv[1]) || !is_loaded("liburcu-memb.so.8"))
			return 1;
	}
	return argc == 2 ? 0 : 2;
}
