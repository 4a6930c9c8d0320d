/* The functions of the x87 in all their 64 bits, as musl's and glibc's long doubles want them. */
#include "check.h"

enum function { FSIN, FCOS, F2XM1, FYL2X, FYL2XP1, FPATAN, FPREM, FPREM1, FPTAN };

struct bits {
	uint64_t significand;
	uint16_t head;
};

/* What is nearest to the true result, of arguments taken at random. */
static const struct {
	enum function function;
	struct bits x, y, result;
} rows[] = {
	{FSIN, {0xdbc8fbbcbde5c099ULL, 0xbffb}, {0x87b0b125ec1d7da0ULL, 0xc009}, {0xdb5d0bab96389880ULL, 0xbffb}},
	{FSIN, {0xf17fd374c6a53877ULL, 0x4008}, {0xe6a16a3b0d464138ULL, 0x4009}, {0xffc4ef0e76150a0cULL, 0xbffe}},
	{FSIN, {0xf814e8a25f2dd97fULL, 0x3ff2}, {0x8b33e968617959ceULL, 0xbffc}, {0xf814e87b8b080904ULL, 0x3ff2}},
	{FSIN, {0x835b73993fd42359ULL, 0x400f}, {0xc78c281d687c966cULL, 0xbffb}, {0x9d5dd2d958ed58daULL, 0xbffd}},
	{FSIN, {0xc30d8b7628dbd25eULL, 0x4003}, {0x9e30691c238642eaULL, 0xbff7}, {0xaeb5eb28d5c87ae0ULL, 0xbffe}},
	{FCOS, {0xa1da8978206f5c66ULL, 0xc007}, {0xc60a3cab359eeefbULL, 0x3ff5}, {0xfe0ea60baca5dc37ULL, 0xbffe}},
	{FCOS, {0xaa9eba0cdf561d80ULL, 0x3ff5}, {0xb2ea6928f6236bf2ULL, 0x3fff}, {0xfffff1c919f143dcULL, 0x3ffe}},
	{FCOS, {0xae81d66d346c6e2bULL, 0xc013}, {0xf7108e96f770c226ULL, 0xbffb}, {0xff182b1db63002a6ULL, 0x3ffe}},
	{FCOS, {0x8585a01c4c7d6df0ULL, 0xc003}, {0xef901b932a7c1880ULL, 0x4002}, {0x8e1ca5e723abb258ULL, 0xbffe}},
	{FCOS, {0xd4f46a6910acff00ULL, 0x3ffb}, {0x80ddb74d960d5a8fULL, 0x4008}, {0xfe9e063e0edf3c75ULL, 0x3ffe}},
	{F2XM1, {0xd68068b9b52a43abULL, 0xbff6}, {0xd18a669a5af84e6bULL, 0x3ffe}, {0x94833cfaf6cc6bb3ULL, 0xbff6}},
	{F2XM1, {0xd0d7d13fb2489191ULL, 0x3ff0}, {0xb465325278f845f5ULL, 0x4004}, {0x90c2ef0c93aed93bULL, 0x3ff0}},
	{F2XM1, {0xf9a01fe8419521feULL, 0x3fe2}, {0xbff29101f3001ceeULL, 0xbff5}, {0xad06f6c07b4b4e7bULL, 0x3fe2}},
	{F2XM1, {0x84a012e8677fd139ULL, 0x3ffc}, {0xe0597bdc5dbe4409ULL, 0xc002}, {0xc05cf6df4e34c194ULL, 0x3ffb}},
	{F2XM1, {0xf3ec28d00252f615ULL, 0xbffb}, {0xf486ab739faba827ULL, 0x3ffa}, {0xa24887bdfc182d8cULL, 0xbffb}},
	{FYL2X, {0xc177f1131e782196ULL, 0x3ff0}, {0x8332f05a58296818ULL, 0x4003}, {0xec3978e1280a85b3ULL, 0xc006}},
	{FYL2X, {0xc68deb5d403a960aULL, 0x401a}, {0xbf9703c096fabb7bULL, 0x3ff8}, {0xa5723a66c4a38269ULL, 0x3ffd}},
	{FYL2X, {0xcbbdbb01dc14ed57ULL, 0x4006}, {0xfa749692f21ff5ebULL, 0x4002}, {0xf024890e081817e6ULL, 0x4005}},
	{FYL2X, {0x834c1b69573ac59aULL, 0x3ff1}, {0xa5f02628eb07c30dULL, 0xc000}, {0x90d0b58e642a5695ULL, 0x4004}},
	{FYL2X, {0xb3de08f9ec983704ULL, 0x3ffa}, {0xaf9b74f84ffcbf42ULL, 0xbff7}, {0xc5f6681c661dcdf3ULL, 0x3ff9}},
	{FYL2XP1, {0xcc7c6d812d6f2efcULL, 0x3fea}, {0xb89c4e56261c374bULL, 0x4009}, {0xd4be21079a04d215ULL, 0x3ff5}},
	{FYL2XP1, {0xfbd9e8a1ff297d0eULL, 0xbfea}, {0xfc98500014b9adb5ULL, 0x3ff6}, {0xb341843356c15a6dULL, 0xbfe3}},
	{FYL2XP1, {0xe7e84707ec717f15ULL, 0xbff9}, {0x980dc6ffbd953dc2ULL, 0x3ffc}, {0xc996d92f8d4622e6ULL, 0xbff7}},
	{FYL2XP1, {0xa6a5bc9974a677c6ULL, 0x3fe7}, {0xfaa30fac0e42d43cULL, 0x3ff9}, {0xeb627bce40db2499ULL, 0x3fe2}},
	{FYL2XP1, {0xfe5a3930cd39e158ULL, 0xbfd9}, {0xfb368220216d27a2ULL, 0x3ffb}, {0xb40baae0096f2c3aULL, 0xbfd7}},
	{FPATAN, {0xa1fdac3af325ffbeULL, 0xc00f}, {0xab37d8171b4c24c2ULL, 0xc002}, {0xc90dbd78159bf2bbULL, 0xc000}},
	{FPATAN, {0x8f0b97522634f16fULL, 0x4002}, {0xa425d75a4b78dc3dULL, 0xc002}, {0xda9ec4cd9c917bf6ULL, 0xbffe}},
	{FPATAN, {0xab56955dda2d3b3dULL, 0x4012}, {0xf5cb2afc741b324dULL, 0xc005}, {0xb79f68614a6b4a4cULL, 0xbff2}},
	{FPATAN, {0xc62731417aa286acULL, 0x3fff}, {0xe6e053f7675ebe3bULL, 0x4004}, {0xc5a1337766a88c9cULL, 0x3fff}},
	{FPATAN, {0xd272324860831ef2ULL, 0x3ff2}, {0xadece95af5b67e6eULL, 0xc006}, {0xc90fd0f4181333e9ULL, 0xbfff}},
	{FPREM, {0xd6a68b41de28123cULL, 0xc014}, {0xc5b61df27deaab64ULL, 0x3ff7}, {0xd743d46e636eaad0ULL, 0xbff6}},
	{FPREM, {0x80b91b2ede0d0fc5ULL, 0xc018}, {0xcb8f1137c938c68dULL, 0x3ff7}, {0xce5359aeb9cdd562ULL, 0xbff6}},
	{FPREM, {0x96655f23b1d117b7ULL, 0xc00b}, {0xce424b92c277af32ULL, 0xbff6}, {0x8c8ef3ee102ae17cULL, 0xbff5}},
	{FPREM, {0xab163406b4581e37ULL, 0x4018}, {0xc50e2b9943cdc356ULL, 0x4004}, {0xa617adf127238430ULL, 0x4001}},
	{FPREM, {0xf20f678df4f6717cULL, 0xc007}, {0x94a6300c2dbbf762ULL, 0x4009}, {0xf20f678df4f6717cULL, 0xc007}},
	{FPREM1, {0x8c07985b796bfa00ULL, 0xbff5}, {0xabf0ca69536e816bULL, 0xbffd}, {0x8c07985b796bfa00ULL, 0xbff5}},
	{FPREM1, {0xd111eb3749f088d4ULL, 0x4012}, {0xcc3136d8ac738c8cULL, 0xc009}, {0xbc68ac4b9237e5c0ULL, 0x4007}},
	{FPREM1, {0xa4e15158461cb6e0ULL, 0x400b}, {0xec1e07d7599c8f1cULL, 0x4002}, {0xdeb88d362f04c250ULL, 0xc001}},
	{FPREM1, {0xddf1d79fdeb280e6ULL, 0xc000}, {0xdd411b0df9e324deULL, 0xc003}, {0xddf1d79fdeb280e6ULL, 0xc000}},
	{FPREM1, {0xa450d1c384a4c93fULL, 0xc00a}, {0xd62cbf2532daef9fULL, 0xbffa}, {0xc6d4437b6765b60eULL, 0xbff9}},
	{FPTAN, {0xb101446a4869650eULL, 0x3ffa}, {0x9de552dd2bfcd686ULL, 0x4002}, {0xb11d7ec6439b6b26ULL, 0x3ffa}},
	{FPTAN, {0xaa61e48884366826ULL, 0xbffd}, {0x9fad3bf44d7b8661ULL, 0xc002}, {0xb0f6a9762312e0cfULL, 0xbffd}},
	{FPTAN, {0xb86d152d454cfe2bULL, 0xbfff}, {0xa8f745873212c44fULL, 0xbff5}, {0xf4d3e64e9b3480e3ULL, 0xc001}},
	{FPTAN, {0xa66e12779fc32bb5ULL, 0xbff9}, {0xaf9ae4aac24da336ULL, 0x3ffc}, {0xa673ef5821361008ULL, 0xbff9}},
	{FPTAN, {0x8ab772dcb7ed25daULL, 0x3fff}, {0xb9eb08e4fad18c6aULL, 0xc004}, {0xf1ad1f4956275bc4ULL, 0x3fff}}
};

static long double from_bits(struct bits bits)
{
	long double value = 0;

	memcpy(&value, &bits.significand, 8);
	memcpy((char *)&value + 8, &bits.head, 2);
	return value;
}

static struct bits to_bits(long double value)
{
	struct bits bits;

	memcpy(&bits.significand, &value, 8);
	memcpy(&bits.head, (char *)&value + 8, 2);
	return bits;
}

#define APPLY(instruction) __asm__ volatile(instruction : "+t"(x) : "u"(y))
#define APPLY_AND_POP(instruction) __asm__ volatile(instruction : "+t"(x) : "u"(y) : "st(1)")

static long double apply(enum function function, long double x, long double y)
{
	long double one;

	switch (function) {
	case FSIN:
		APPLY("fsin");
		break;
	case FCOS:
		APPLY("fcos");
		break;
	case F2XM1:
		APPLY("f2xm1");
		break;
	case FYL2X:
		APPLY_AND_POP("fyl2x");
		break;
	case FYL2XP1:
		APPLY_AND_POP("fyl2xp1");
		break;
	case FPATAN:
		APPLY_AND_POP("fpatan");
		break;
	case FPREM:
		APPLY("fprem");
		break;
	case FPREM1:
		APPLY("fprem1");
		break;
	case FPTAN:
		__asm__ volatile("fptan" : "=t"(one), "=u"(x) : "0"(x));
		if (one != 1)
			x = 0;
		break;
	}
	return x;
}

TEST(results)
{
	for (size_t at = 0; at < LENGTH(rows); at++) {
		struct bits got = to_bits(apply(rows[at].function, from_bits(rows[at].x), from_bits(rows[at].y)));
		int64_t distance = (int64_t)(got.significand - rows[at].result.significand);
		int is_exact = rows[at].function == FPREM || rows[at].function == FPREM1;

		CHECK_EQ(got.head, rows[at].result.head);
		CHECK(distance == 0 || (!is_exact && (distance == 1 || distance == -1)));
	}
}

/* 2 to the power of x, less 1, is x times the natural logarithm of 2 there, at once. */
TEST(f2xm1_of_tiny_operands)
{
	for (unsigned exponent = 16250; exponent > 1; exponent -= exponent > 100 ? 50 : 1) {
		struct bits x = {1ULL << 63, exponent}, got = to_bits(apply(F2XM1, from_bits(x), 0));
		int64_t distance = (int64_t)(got.significand - 0xb17217f7d1cf79acULL);

		if (exponent & 1)
			CHECK_EQ(to_bits(apply(F2XM1, -from_bits(x), 0)).head, 0x8000 | (exponent - 1));
		CHECK(got.head == exponent - 1 && distance >= -1 && distance <= 1);
	}
	for (int bit = 63; bit > 8; bit--) {
		struct bits x = {1ULL << bit, bit == 63}, got = to_bits(apply(F2XM1, from_bits(x), 0));
		int64_t distance = (int64_t)(got.significand - (0xb17217f7d1cf79acULL >> (64 - bit)));

		CHECK(got.head == 0 && distance >= -1 && distance <= 1);
	}
}

static unsigned short status_of(enum function function, long double x, long double y)
{
	unsigned short status;
	volatile long double result;

	__asm__ volatile("fnclex");
	result = apply(function, x, y);
	(void)result;
	__asm__ volatile("fnstsw %0" : "=a"(status));
	__asm__ volatile("fnclex");
	return status;
}

TEST(exceptions_and_conditions)
{
	volatile long double zero = 0, one = 1, infinite = __builtin_infl();

	CHECK_EQ(status_of(FSIN, infinite, 0) & 0x3f, 1);
	CHECK_EQ(status_of(FSIN, one, 0) & 0x3f, 0x20);
	CHECK_EQ(status_of(FSIN, zero, 0) & 0x3f, 0);
	CHECK_EQ(status_of(FSIN, 0x1p63L, 0) & 0x400, 0x400);
	CHECK_EQ(status_of(FSIN, one, 0) & 0x400, 0);
	CHECK_EQ(status_of(F2XM1, 0x1p-16000L, 0) & 0x3f, 0x20);
	CHECK_EQ(status_of(F2XM1, 0x1p-16382L, 0) & 0x3f, 0x30);
	CHECK_EQ(status_of(F2XM1, 0x1p-16400L, 0) & 0x3f, 0x32);
	CHECK_EQ(status_of(FYL2X, zero, one) & 0x3f, 4);
	CHECK_EQ(status_of(FYL2X, -one, one) & 0x3f, 1);
	CHECK_EQ(status_of(FPREM, one, zero) & 0x3f, 1);
	/* 7 is 3 times 2 and 1: the quotient's bits are in C0 and C3, and in C1 until the next instruction. */
	CHECK_EQ(status_of(FPREM, 7, 2) & 0x4500, 0x4000);
	CHECK_EQ(status_of(FPREM1, 7, 2) & 0x4500, 0x100);
	CHECK_EQ(status_of(FPREM, 0x1p100L, 3) & 0x400, 0x400);
}

/* A remainder by steps, as fmodl(3) takes it. */
TEST(a_remainder_of_far_exponents)
{
	volatile long double x = 0x1.23456789abcdefp200L, y = 0x1.fedcba9876543p-3L;
	long double left = x;
	unsigned short status;

	do {
		__asm__ volatile("fprem\n\tfnstsw %1" : "+t"(left), "=a"(status) : "u"((long double)y));
	} while (status & 0x400);
	CHECK(left == 0x27206e38cd641p-55L);
}

TEST(in_a_loop)
{
	long double sum = 0;

	for (int at = 1; at <= 300; at++) {
		long double x = at / 100.0L, sine, cosine;

		__asm__ volatile("fsincos" : "=t"(cosine), "=u"(sine) : "0"(x));
		sum += sine * sine + cosine * cosine - 1;
	}
	CHECK(sum < 1e-16L && sum > -1e-16L);
}

static unsigned short extract(struct bits operand, struct bits *exponent, struct bits *significand)
{
	long double x = from_bits(operand), above, below;
	unsigned short status;

	__asm__ volatile("fnclex\n\tfxtract\n\tfnstsw %2\n\tfnclex" : "=t"(above), "=u"(below), "=a"(status) : "0"(x));
	*exponent = to_bits(below);
	*significand = to_bits(above);
	return status & 0x7f;
}

/* What ilogbl(3) and logbl(3) of glibc are. */
TEST(exponents_and_significands)
{
	static const struct {
		struct bits operand, exponent, significand;
		unsigned short exceptions;
	} cases[] = {
		{{1ULL << 63, 0x3fff}, {0, 0}, {1ULL << 63, 0x3fff}, 0},
		{{0xc000000000000001ULL, 0xc00a}, {0xb000000000000000ULL, 0x4002}, {0xc000000000000001ULL, 0xbfff}, 0},
		{{1ULL << 63, 0x3ffd}, {1ULL << 63, 0xc000}, {1ULL << 63, 0x3fff}, 0},
		{{1ULL << 63, 0x7ffe}, {0xfffc000000000000ULL, 0x400c}, {1ULL << 63, 0x3fff}, 0},
		{{0, 0}, {1ULL << 63, 0xffff}, {0, 0}, 4},
		{{0, 0x8000}, {1ULL << 63, 0xffff}, {0, 0x8000}, 4},
		{{1ULL << 63, 0x7fff}, {1ULL << 63, 0x7fff}, {1ULL << 63, 0x7fff}, 0},
		{{1ULL << 63, 0xffff}, {1ULL << 63, 0x7fff}, {1ULL << 63, 0xffff}, 0},
		{{0xc000000000000005ULL, 0x7fff}, {0xc000000000000005ULL, 0x7fff}, {0xc000000000000005ULL, 0x7fff}, 0},
		{{0x8000000000000005ULL, 0xffff}, {0xc000000000000005ULL, 0xffff}, {0xc000000000000005ULL, 0xffff}, 1},
		{{1, 0x4000}, {0xc000000000000000ULL, 0xffff}, {0xc000000000000000ULL, 0xffff}, 1},
		{{3, 0x8000}, {0x8078000000000000ULL, 0xc00d}, {0xc000000000000000ULL, 0xbfff}, 2},
		{{1ULL << 63, 0}, {0xfff8000000000000ULL, 0xc00c}, {1ULL << 63, 0x3fff}, 2},
	};

	for (size_t at = 0; at < LENGTH(cases); at++) {
		struct bits exponent, significand;

		CHECK_EQ(extract(cases[at].operand, &exponent, &significand), cases[at].exceptions);
		CHECK_EQ(exponent.head, cases[at].exponent.head);
		CHECK_EQ(exponent.significand, cases[at].exponent.significand);
		CHECK_EQ(significand.head, cases[at].significand.head);
		CHECK_EQ(significand.significand, cases[at].significand.significand);
	}
}

/* What scalbnl(3), and so ldexpl(3), of glibc is. */
TEST(scaling)
{
	static const struct {
		struct bits x, y, result;
		unsigned short exceptions;
	} cases[] = {
		{{1ULL << 63, 0x3fff}, {0xc000000000000000ULL, 0xbffe}, {1ULL << 63, 0x3fff}, 0},
		{{0xc000000000000001ULL, 0xbfff}, {0xe000000000000000ULL, 0x4000}, {0xc000000000000001ULL, 0xc002}, 0},
		{{1ULL << 63, 0x3fff}, {0x8020000000000000ULL, 0xc00d}, {1ULL << 45, 0}, 0},
		{{0xc000000000000001ULL, 0x3fff}, {0xfffe000000000000ULL, 0xc00c}, {0x6000000000000000ULL, 0}, 0x30},
		{{1, 0}, {0xfffe000000000000ULL, 0x400c}, {1ULL << 63, 0x3fc1}, 2},
		{{1ULL << 63, 0x3fff}, {0xfffe000000000000ULL, 0x400e}, {1ULL << 63, 0x7fff}, 0x28},
		{{1ULL << 63, 0xbfff}, {1ULL << 63, 0x7000}, {1ULL << 63, 0xffff}, 0x28},
		{{1ULL << 63, 0xbfff}, {1ULL << 63, 0xf000}, {0, 0x8000}, 0x30},
		{{1ULL << 63, 0xbfff}, {1ULL << 63, 0x7fff}, {1ULL << 63, 0xffff}, 0},
		{{1ULL << 63, 0xbfff}, {1ULL << 63, 0xffff}, {0, 0x8000}, 0},
		{{0, 0}, {1ULL << 63, 0x7fff}, {0xc000000000000000ULL, 0xffff}, 1},
		{{1ULL << 63, 0x7fff}, {1ULL << 63, 0xffff}, {0xc000000000000000ULL, 0xffff}, 1},
		{{1ULL << 63, 0x3fff}, {0x8000000000000005ULL, 0x7fff}, {0xc000000000000005ULL, 0x7fff}, 1},
	};

	for (size_t at = 0; at < LENGTH(cases); at++) {
		long double x = from_bits(cases[at].x), y = from_bits(cases[at].y);
		unsigned short exceptions;
		struct bits got;

		__asm__ volatile("fnclex\n\tfscale\n\tfnstsw %1\n\tfnclex" : "+t"(x), "=a"(exceptions) : "u"(y));
		got = to_bits(x);
		CHECK_EQ(got.head, cases[at].result.head);
		CHECK_EQ(got.significand, cases[at].result.significand);
		CHECK_EQ(exceptions & 0x7f, cases[at].exceptions);
	}
}

/* What gcc makes of casts to integers where there is SSE3. */
TEST(truncation)
{
	static const struct {
		struct bits x;
		int64_t long_integer;
		int32_t integer;
		unsigned short long_exceptions, exceptions;
	} cases[] = {
		{{0xc000000000000001ULL, 0xc000}, -3, -3, 0x20, 0x20},
		{{0xfffffffe00000000ULL, 0x401d}, 0x7fffffff, 0x7fffffff, 0, 0},
		{{0xffffffff00000000ULL, 0x401d}, 0x7fffffff, 0x7fffffff, 0x20, 0x20},
		{{1ULL << 63, 0x401e}, 1LL << 31, INT32_MIN, 0, 1},
		{{0xfffffffffffffffeULL, 0x403d}, INT64_MAX, INT32_MIN, 0, 1},
		{{1ULL << 63, 0x403e}, INT64_MIN, INT32_MIN, 1, 1},
		{{1ULL << 63, 0xc03e}, INT64_MIN, INT32_MIN, 0, 1},
		{{1ULL << 63, 0x7fff}, INT64_MIN, INT32_MIN, 1, 1},
		{{0xc000000000000000ULL, 0x7fff}, INT64_MIN, INT32_MIN, 1, 1},
		{{1ULL << 63, 0x3fff}, 1, 1, 0, 0},
	};

	for (size_t at = 0; at < LENGTH(cases); at++) {
		unsigned short exceptions;
		int64_t long_integer;
		int32_t integer;

		__asm__ volatile("fnclex\n\tjmp 1f\n\t1:\tfisttpll %0\n\tjmp 2f\n\t2:\tfnstsw %1" : "=m"(long_integer), "=a"(exceptions)
				 : "t"(from_bits(cases[at].x)) : "st");
		CHECK_EQ(long_integer, cases[at].long_integer);
		CHECK_EQ(exceptions & 0x7f, cases[at].long_exceptions);
		__asm__ volatile("fnclex\n\tjmp 1f\n\t1:\tfisttpl %0\n\tjmp 2f\n\t2:\tfnstsw %1" : "=m"(integer), "=a"(exceptions)
				 : "t"(from_bits(cases[at].x)) : "st");
		CHECK_EQ(integer, cases[at].integer);
		CHECK_EQ(exceptions & 0x7f, cases[at].exceptions);
	}
}

#define INVALID 1
#define DENORMAL 2
#define DIVIDED 4
#define OVERFLOWN 8
#define INEXACT 32
#define ROUNDED_UP 0x200

/* What the status says right behind an instruction. */
#define STATUS_OF(instruction, ...) \
	({ \
		unsigned short told; \
		__asm__ volatile("fnclex; " instruction "; fnstsw %0" : "=a"(told) : __VA_ARGS__ : "memory"); \
		told & (INVALID | DENORMAL | DIVIDED | OVERFLOWN | 16 | INEXACT | ROUNDED_UP); \
	})

static void set_rounding(int rounding, int precision)
{
	unsigned short control = (unsigned short)(0x3F | precision << 8 | rounding << 10);

	__asm__ volatile("fldcw %0" : : "m"(control));
}

TEST(status_tells_at_once_what_arithmetic_has_raised)
{
	double third = 1.0 / 3, one = 1, zero = 0, small = 5e-324, large = 1e308;
	float tiny = 1e-45f;
	long double denormal = 3e-4940L, unnormal = 1.5L;
	unsigned long long bits = 0x4000000000000000ULL;
	int number = 0;
	short half = 0;

	set_rounding(0, 3);
	CHECK_EQ(STATUS_OF("fld1; fdivl %1; fstp %%st(0)", "m"(one)), 0);
	CHECK_EQ(STATUS_OF("fld1; fdivl %1; fstp %%st(0)", "m"(zero)), DIVIDED);
	set_rounding(2, 3);
	CHECK_EQ(STATUS_OF("fldl %1; fmull %1", "m"(third)), INEXACT | ROUNDED_UP);
	__asm__ volatile("fstp %st(0)");
	set_rounding(1, 3);
	CHECK_EQ(STATUS_OF("fldl %1; fmull %1", "m"(third)), INEXACT);
	__asm__ volatile("fstp %st(0)");
	set_rounding(2, 2);
	CHECK_EQ(STATUS_OF("fldl %1; fsqrt", "m"(third)), INEXACT | ROUNDED_UP);
	/* What doesn't round takes back that it was rounded up. */
	CHECK_EQ(STATUS_OF("fld1; fdivl %1; fchs", "m"(third)), INEXACT);
	CHECK_EQ(STATUS_OF("fxch", "m"(third)), 0);
	__asm__ volatile("fstp %st(0); fstp %st(0)");
	set_rounding(0, 3);
	CHECK_EQ(STATUS_OF("fldl %1; fstp %%st(0)", "m"(small)), DENORMAL);
	CHECK_EQ(STATUS_OF("flds %1; fstp %%st(0)", "m"(tiny)), DENORMAL);
	CHECK_EQ(STATUS_OF("fldt %1; fstp %%st(0)", "m"(denormal)), 0);
	CHECK_EQ(STATUS_OF("fldt %1; fld1; faddp", "m"(denormal)), DENORMAL | INEXACT);
	CHECK_EQ(STATUS_OF("fcomp %%st(0)", "m"(denormal)), 0);
	CHECK_EQ(STATUS_OF("fldt %1; fld1; fcompp", "m"(denormal)), DENORMAL);
	CHECK_EQ(STATUS_OF("fld1; fadds %1", "m"(tiny)), DENORMAL | INEXACT);
	__asm__ volatile("fstp %st(0)");
	CHECK_EQ(STATUS_OF("fldl %1; fmull %1; fstps %2", "m"(large), "m"(tiny)), OVERFLOWN | INEXACT | ROUNDED_UP);
	/* A number without its first bit is none. */
	memcpy(&unnormal, &bits, 8);
	CHECK_EQ(STATUS_OF("fldt %1; fld1; faddp", "m"(unnormal)), INVALID);
	__asm__ volatile("fstp %st(0)");
	/* What is too large for an integer. */
	CHECK_EQ(STATUS_OF("fldl %1; fistpl %2", "m"(large), "m"(number)), INVALID);
	CHECK_EQ(number, INT_MIN);
	CHECK_EQ(STATUS_OF("fldl %1; fistps %2", "m"(large), "m"(half)), INVALID);
	CHECK_EQ(half, SHRT_MIN);
	CHECK_EQ(STATUS_OF("fldl %1; fisttps %2", "m"(large), "m"(half)), INVALID);
	CHECK_EQ(half, SHRT_MIN);
	CHECK_EQ(STATUS_OF("fldl %1; fistpl %2", "m"(third), "m"(number)), INEXACT);
	CHECK_EQ(number, 0);
	set_rounding(2, 3);
	CHECK_EQ(STATUS_OF("fldl %1; fistpl %2", "m"(third), "m"(number)), INEXACT | ROUNDED_UP);
	CHECK_EQ(number, 1);
	__asm__ volatile("fninit");
}

TEST(constants_are_rounded_as_the_control_word_says)
{
	static const uint64_t pi[] = {0xc90fdaa22168c235, 0xc90fdaa22168c234, 0xc90fdaa22168c235, 0xc90fdaa22168c234};
	static const uint64_t of_ten[] = {0xd49a784bcd1b8afe, 0xd49a784bcd1b8afe, 0xd49a784bcd1b8aff,
					  0xd49a784bcd1b8afe};

	for (int rounding = 0; rounding < 4; rounding++) {
		long double first, second;

		set_rounding(rounding, 3);
		__asm__ volatile("fldpi; fstpt %0; fldl2t; fstpt %1" : "=m"(first), "=m"(second));
		CHECK_EQ(to_bits(first).significand, pi[rounding]);
		CHECK_EQ(to_bits(second).significand, of_ten[rounding]);
	}
	__asm__ volatile("fninit");
}

/* The flags after a comparison, with all of those that it sets set before. */
static unsigned long flags_after_comparison(long double x, long double y)
{
	unsigned long flags;

	__asm__ volatile("fldt %2\n\tfldt %1\n\tpushfq\n\torq $0x8d5, (%%rsp)\n\tpopfq\n\t"
			 "fcomip %%st(1), %%st\n\tpushfq\n\tpopq %0\n\tfstp %%st(0)"
			 : "=r"(flags)
			 : "m"(x), "m"(y)
			 : "cc", "memory", "st", "st(1)");
	return flags & 0x8d5;
}

TEST(comparisons_clear_the_other_flags)
{
	CHECK_EQ(flags_after_comparison(2, 1), 0);
	CHECK_EQ(flags_after_comparison(1, 2), 0x01);
	CHECK_EQ(flags_after_comparison(1, 1), 0x40);
	CHECK_EQ(flags_after_comparison(__builtin_nanl(""), 1), 0x45);
}

TEST(a_comparison_s_exception_shows_at_once)
{
	unsigned short status;
	long double x = __builtin_nanl("");

	__asm__ volatile("fnclex\n\tfldt %1\n\tfcomi %%st(0), %%st\n\tfnstsw %0\n\tfstp %%st(0)"
			 : "=m"(status)
			 : "m"(x)
			 : "cc", "st");
	CHECK_EQ(status & 0x3f, 1);
}

TEST(the_control_word_s_bits)
{
	unsigned short all = 0xffff, usual = 0x37f, got;

	__asm__ volatile("fldcw %1\n\tfnstcw %0\n\tfldcw %2" : "=m"(got) : "m"(all), "m"(usual));
	CHECK_EQ(got, 0x1f7f);
	all = 0x3f;
	__asm__ volatile("fldcw %1\n\tfnstcw %0\n\tfldcw %2" : "=m"(got) : "m"(all), "m"(usual));
	CHECK_EQ(got, 0x7f);
}

/* An exception that has been raised waits from the moment on that it's unmasked, and no longer when it's masked. */
TEST(what_waits_by_the_control_word)
{
	unsigned short unmasked = 0x37e, usual = 0x37f, waiting, masked;

	__asm__ volatile("fnclex\n\tfldz\n\tfldz\n\tfdivp\n\tfstp %%st(0)\n\t"
			 "fldcw %2\n\tfnstsw %0\n\tfnstenv -64(%%rsp)\n\tfldcw %3\n\tfnstsw %1\n\tfnclex"
			 : "=m"(waiting), "=m"(masked)
			 : "m"(unmasked), "m"(usual)
			 : "memory", "st", "st(1)");
	CHECK_EQ(waiting & 0x8081, 0x8081);
	CHECK_EQ(masked & 0x8081, 1);
}

/* C0, C2 and C3 of fcom of no numbers are left when the stack is turned. */
TEST(turning_the_stack_keeps_conditions)
{
	unsigned short up, down;
	long double x = __builtin_nanl("");

	__asm__ volatile("fldt %2\n\tfucom %%st(0)\n\tfdecstp\n\tfnstsw %0\n\tfincstp\n\tfnstsw %1\n\tfstp %%st(0)"
			 : "=m"(up), "=m"(down)
			 : "m"(x)
			 : "st");
	CHECK_EQ(up & 0x4700, 0x4500);
	CHECK_EQ(down & 0x4700, 0x4500);
	CHECK_EQ((down - up) >> 11 & 7, 1);
}

/* What was put in the place of a result that there isn't. */
static int is_indefinite(const unsigned char *number)
{
	static const unsigned char indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};

	return memcmp(number, indefinite, 10) == 0;
}

#define STACK_FAULT 0x41
#define RAISED(status) ((status) & 0x27f)

TEST(a_full_stack)
{
	unsigned char number[10];
	unsigned short status, after;
	double one = 1;

	__asm__ volatile("fninit\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfnstsw %0\n\t"
			 "fld1\n\tfnstsw %1\n\tfstpt %2\n\tfninit"
			 : "=m"(status), "=m"(after), "=m"(number));
	CHECK_EQ(RAISED(status), 0);
	CHECK_EQ(RAISED(after), STACK_FAULT | 0x200);
	CHECK(is_indefinite(number));
	__asm__ volatile("fninit\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfldl %2\n\t"
			 "fnstsw %0\n\tfstpt %1\n\tfninit"
			 : "=m"(after), "=m"(number)
			 : "m"(one));
	CHECK_EQ(RAISED(after), STACK_FAULT | 0x200);
	CHECK(is_indefinite(number));
}

TEST(an_empty_stack)
{
	unsigned char number[10];
	unsigned short status;
	unsigned long flags;

	__asm__ volatile("fninit\n\tfld1\n\tfaddp\n\tfnstsw %0\n\tfstpt %1\n\tfninit" : "=m"(status), "=m"(number));
	CHECK_EQ(RAISED(status), STACK_FAULT);
	CHECK(is_indefinite(number));
	__asm__ volatile("fninit\n\tfstpt %1\n\tfnstsw %0\n\tfninit" : "=m"(status), "=m"(number));
	CHECK_EQ(RAISED(status), STACK_FAULT);
	CHECK(is_indefinite(number));
	__asm__ volatile("fninit\n\tfld1\n\tfxch %%st(3)\n\tfnstsw %0\n\tfstpt %1\n\tfninit" : "=m"(status), "=m"(number));
	CHECK_EQ(RAISED(status), STACK_FAULT);
	CHECK(is_indefinite(number));
	__asm__ volatile("fninit\n\tfld1\n\tfcomi %%st(1), %%st\n\tpushfq\n\tpopq %1\n\tfnstsw %0\n\tfninit"
			 : "=m"(status), "=r"(flags)
			 :
			 : "cc", "memory");
	CHECK_EQ(RAISED(status), STACK_FAULT);
	CHECK_EQ(flags & 0x45, 0x45);
}

/* A number goes to an empty register and is there then. */
TEST(a_store_fills_a_register)
{
	unsigned char number[10];
	unsigned short status;

	__asm__ volatile("fninit\n\tfldpi\n\tfst %%st(3)\n\tffree %%st(0)\n\tfld %%st(3)\n\tfnstsw %0\n\tfstpt %1\n\tfninit"
			 : "=m"(status), "=m"(number));
	CHECK_EQ(RAISED(status), 0);
	CHECK_EQ(number[7], 0xc9);
}
