/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * none.c - `rmap lab` where there is no VM to measure on
 */
#include "../tools/command.h"
#include "../tools/tool.h"

int lab_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	return complain(
		"lab needs Concurrency Kit, which this command was built without: build it for this machine with "
		"package libck-dev");
}
