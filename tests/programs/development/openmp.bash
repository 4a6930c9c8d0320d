cat > parallel.c <<'C'
#include <omp.h>
#include <stdio.h>

static int partitions[8], order[64];

int main(void)
{
	long sum = 0, critical = 0, atomic = 0;
	int threads = 0, nested = 0, filled = 0;
	omp_set_num_threads(4);
#pragma omp parallel reduction(+ : threads)
	threads += 1;
	printf("threads: %d\n", threads);
#pragma omp parallel for reduction(+ : sum) schedule(dynamic, 7)
	for (int i = 0; i < 1000; i++)
		sum += i;
	printf("dynamic: %ld\n", sum);
#pragma omp parallel for schedule(static)
	for (int i = 0; i < 64; i++) {
#pragma omp critical
		critical += i;
#pragma omp atomic
		atomic += i;
#pragma omp atomic
		partitions[omp_get_thread_num()]++;
	}
	printf("static: %ld %ld %d %d %d %d\n", critical, atomic, partitions[0], partitions[1], partitions[2], partitions[3]);
#pragma omp parallel for ordered schedule(guided)
	for (int i = 0; i < 64; i++) {
#pragma omp ordered
		order[filled++] = i;
	}
	for (int i = 0; i < 64; i++)
		if (order[i] != i)
			printf("out of order: %d\n", i);
	int fibonacci[20] = {0, 1};
#pragma omp parallel
#pragma omp single
	for (int i = 2; i < 20; i++)
#pragma omp task depend(in : fibonacci[i - 1], fibonacci[i - 2]) depend(out : fibonacci[i])
		fibonacci[i] = fibonacci[i - 1] + fibonacci[i - 2];
	printf("tasks: %d\n", fibonacci[19]);
	omp_set_max_active_levels(2);
#pragma omp parallel num_threads(2) reduction(+ : nested)
#pragma omp parallel num_threads(3) reduction(+ : nested)
	nested += 1;
	printf("nested: %d\n", nested);
	int sections[3] = {0};
#pragma omp parallel sections
	{
#pragma omp section
		sections[0] = 1;
#pragma omp section
		sections[1] = 2;
#pragma omp section
		sections[2] = 3;
	}
	printf("sections: %d %d %d\n", sections[0], sections[1], sections[2]);
	omp_lock_t lock;
	omp_init_lock(&lock);
	int held = 0, overlaps = 0;
#pragma omp parallel
	for (int i = 0; i < 50; i++) {
		omp_set_lock(&lock);
		overlaps += held++ != 0;
		held--;
		omp_unset_lock(&lock);
	}
	printf("overlaps: %d\n", overlaps);
	int barriers[4] = {0}, behind = 0;
#pragma omp parallel
	for (int phase = 1; phase < 10; phase++) {
		barriers[omp_get_thread_num()] = phase;
#pragma omp barrier
		for (int i = 0; i < 4; i++)
			if (barriers[i] != phase)
				behind = 1;
#pragma omp barrier
	}
	printf("behind: %d\n", behind);
	return 0;
}
C
gcc -O1 -fopenmp -o parallel parallel.c
echo "compiled: $?"
./parallel
OMP_WAIT_POLICY=active ./parallel | md5sum
OMP_WAIT_POLICY=passive ./parallel | md5sum
OMP_DISPLAY_ENV=true OMP_PROC_BIND=true OMP_PLACES=cores ./parallel 2>&1 | grep -c OMP_
