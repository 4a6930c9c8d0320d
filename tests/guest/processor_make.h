/* Who made the processor: inside it's always Intel's, and the makes disagree on what few programs do.
 *
 * What is asserted of Intel's alone isn't natively on another make's: test_guest.py has a list of those programs.
 */
#ifndef PROCESSOR_MAKE_H
#define PROCESSOR_MAKE_H

#include "check.h"

#include <cpuid.h>

CHECK_API int is_of_amd(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
	return memcmp(&b, "Auth", 4) == 0 && memcmp(&c, "cAMD", 4) == 0;
}

#endif
