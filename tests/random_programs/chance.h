/* Numbers at random that follow from a seed, the same on every machine. */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdint.h>

static uint64_t state;

/* One of the numbers from 0 to `below` - 1. */
static unsigned int chance(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int)(((state * 0x2545F4914F6CDD1DULL) >> 20) % below);
}

static void start_with(int seed)
{
	state = (uint64_t)seed * 7919 + 13;
	for (int round = 0; round < 16; round++)
		chance(2);
}

#endif
