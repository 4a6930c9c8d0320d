/* What C can't say: system calls with the kernel's own answer, and with children that begin anywhere. */
#ifndef RAW_CALL_H
#define RAW_CALL_H

long raw_call(long number, const int64_t *arguments);
long raw_spawn(long number, const int64_t *arguments, long new_actor);
/* These two may fault; a handler that finds rip between the next two labels goes on at the third. */
long raw_load(const void *address);
long raw_store(void *address, long value);
void raw_restorer(void);
extern const char raw_faulting[], raw_faulting_end[], raw_fault_out[];
__attribute__((noreturn, used)) void actor_main(long me);

/* The call whose number is in rdi, with the six arguments to which rsi points. */
#define MAKE_CALL \
	"	movq %rdi, %rax\n" \
	"	movq %rsi, %r11\n" \
	"	movq 0(%r11), %rdi\n" \
	"	movq 8(%r11), %rsi\n" \
	"	movq 16(%r11), %rdx\n" \
	"	movq 24(%r11), %r10\n" \
	"	movq 32(%r11), %r8\n" \
	"	movq 40(%r11), %r9\n" \
	"	syscall\n"

__asm__(".text\n"
	"raw_call:\n"
	MAKE_CALL
	"	ret\n"
	"raw_spawn:\n"
	"	pushq %r12\n"
	"	movq %rdx, %r12\n"
	MAKE_CALL
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	popq %r12\n"
	"	ret\n"
	"1:	movq %r12, %rdi\n"
	"	andq $-16, %rsp\n"
	"	call actor_main\n"
	"raw_faulting:\n"
	"raw_load:\n"
	"	movzbl (%rdi), %eax\n"
	"	ret\n"
	"raw_store:\n"
	"	movb %sil, (%rdi)\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"raw_faulting_end:\n"
	"raw_fault_out:\n"
	"	ret\n"
	"raw_restorer:\n"
	"	movl $15, %eax\n"
	"	syscall\n");

#endif
