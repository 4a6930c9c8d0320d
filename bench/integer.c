/* COUNT million steps of integer arithmetic with a branch that depends on it. */
#include "bench.h"

int main(int argc, char **argv)
{
	volatile uint64_t sink;
	uint64_t value = 1, sum = 0;

	for (long left = count_of(argc, argv); left > 0; left--) {
		for (long step = 0; step < 1000000; step++) {
			value = value * 6364136223846793005ULL + 1442695040888963407ULL;
			if (value >> 63)
				sum += value >> 33;
			else
				sum ^= value >> 17;
		}
	}
	sink = sum;
	(void)sink;
	return 0;
}
