/* COUNT times some 240,000 calls of a function that calls itself. */
#include "bench.h"

__attribute__((noinline)) static uint64_t fibonacci(unsigned number)
{
	return number < 2 ? number : fibonacci(number - 1) + fibonacci(number - 2);
}

int main(int argc, char **argv)
{
	uint64_t sum = 0;

	for (long left = count_of(argc, argv); left > 0; left--)
		sum += fibonacci(25);
	return sum == 12345;
}
