/* COUNT million steps through a table, each of which reads a word and writes it back. */
#include "bench.h"

#define WORDS 65536U

static uint32_t table[WORDS];

int main(int argc, char **argv)
{
	uint32_t place = 0;

	for (long left = count_of(argc, argv); left > 0; left--) {
		for (uint32_t step = 0; step < 1000000; step++) {
			place = (place + 97) % WORDS;
			table[place] += step;
		}
	}
	return table[0] == 12345;
}
