"""The vDSO's getrandom: random bytes without a system call, out of a state that the program keeps.

The state, in memory of the program's, is 96 bytes that are ready, the key by which ChaCha20 makes the next
ones, the generation of the key, how many of the bytes are used up, and whether somebody is at work: in a
signal handler that interrupts the function, it makes the system call. The first time, or where the memory
was dropped meanwhile and reads as zeros, it has the kernel give a key, by a call that's heard as any other;
so the bytes follow from the machine's seed. Each key is overwritten by what it makes. There is one
generation, as the kernel mixes nothing into its pool later.
"""

from __future__ import annotations

_ASSEMBLY = """
    49 83 f8 ff                       cmp $-1, %r8
    75 38                             jne ask
    48 89 f8                          mov %rdi, %rax
    48 09 f0                          or %rsi, %rax
    75 30                             jne ask
    85 d2                             test %edx, %edx
    75 2c                             jne ask
    c7 01 90 00 00 00                 movl $144, (%rcx)
    c7 41 04 03 00 00 00              movl $3, 4(%rcx)
    c7 41 08 28 00 00 00              movl $0x28, 8(%rcx)
    c7 41 0c 00 00 00 00              movl $0, 12(%rcx)
    66 0f ef c0                       pxor %xmm0, %xmm0
    0f 11 41 10                       movups %xmm0, 16(%rcx)
    0f 11 41 20                       movups %xmm0, 32(%rcx)
    0f 11 41 30                       movups %xmm0, 48(%rcx)
    c3                                ret
ask:
    48 8d 81 8f 00 00 00              lea 143(%rcx), %rax
    48 31 c8                          xor %rcx, %rax
    48 a9 00 f0 ff ff                 test $-4096, %rax
    0f 85 be 00 00 00                 jne fault
    f7 c2 f8 ff ff ff                 test $-8, %edx
    0f 85 aa 00 00 00                 jne call
    49 81 f8 90 00 00 00              cmp $144, %r8
    0f 85 9d 00 00 00                 jne call
    48 85 f6                          test %rsi, %rsi
    0f 84 a4 00 00 00                 je nothing
    80 b9 89 00 00 00 00              cmpb $0, 137(%rcx)
    0f 85 87 00 00 00                 jne call
    c6 81 89 00 00 00 01              movb $1, 137(%rcx)
    49 89 ca                          mov %rcx, %r10
    41 b9 00 f0 ff 7f                 mov $0x7ffff000, %r9d
    49 39 f1                          cmp %rsi, %r9
    4c 0f 47 ce                       cmova %rsi, %r9
    66 48 0f 6e f7                    movq %rdi, %xmm6
    66 48 0f 6e fe                    movq %rsi, %xmm7
retry:
    4c 89 ce                          mov %r9, %rsi
    49 83 ba 80 00 00 00 01           cmpq $1, 128(%r10)
    74 6c                             je batch
    49 c7 82 80 00 00 00 01 00 00 00  movq $1, 128(%r10)
    41 89 d0                          mov %edx, %r8d
    49 8d 7a 60                       lea 96(%r10), %rdi
    be 20 00 00 00                    mov $32, %esi
    31 d2                             xor %edx, %edx
    b8 3e 01 00 00                    mov $318, %eax
    0f 05                             syscall
    44 89 c2                          mov %r8d, %edx
    66 48 0f 7e f7                    movq %xmm6, %rdi
    4c 89 ce                          mov %r9, %rsi
    41 c6 82 88 00 00 00 60           movb $96, 136(%r10)
    48 83 f8 20                       cmp $32, %rax
    74 33                             je batch
    49 c7 82 80 00 00 00 00 00 00 00  movq $0, 128(%r10)
back:
    41 c6 82 89 00 00 00 00           movb $0, 137(%r10)
    66 48 0f 7e f7                    movq %xmm6, %rdi
    66 48 0f 7e fe                    movq %xmm7, %rsi
    83 e2 07                          and $7, %edx
call:
    b8 3e 01 00 00                    mov $318, %eax
    0f 05                             syscall
    c3                                ret
fault:
    48 c7 c0 f2 ff ff ff              mov $-14, %rax
    c3                                ret
nothing:
    31 c0                             xor %eax, %eax
    c3                                ret
batch:
    45 0f b6 9a 88 00 00 00           movzbl 136(%r10), %r11d
    b8 60 00 00 00                    mov $96, %eax
    4c 29 d8                          sub %r11, %rax
    48 39 f0                          cmp %rsi, %rax
    48 0f 47 c6                       cmova %rsi, %rax
    41 00 82 88 00 00 00              add %al, 136(%r10)
    48 29 c6                          sub %rax, %rsi
    4d 01 d3                          add %r10, %r11
copy:
    48 85 c0                          test %rax, %rax
    74 15                             je copied
    45 8a 03                          mov (%r11), %r8b
    41 c6 03 00                       movb $0, (%r11)
    44 88 07                          mov %r8b, (%rdi)
    49 ff c3                          inc %r11
    48 ff c7                          inc %rdi
    48 ff c8                          dec %rax
    eb e6                             jmp copy
copied:
    48 85 f6                          test %rsi, %rsi
    75 2a                             jne more
    49 83 ba 80 00 00 00 01           cmpq $1, 128(%r10)
    75 0c                             jne dropped
    41 c6 82 89 00 00 00 00           movb $0, 137(%r10)
    4c 89 c8                          mov %r9, %rax
    c3                                ret
dropped:
    0f ba ea 03                       bts $3, %edx
    0f 82 75 ff ff ff                 jc back
    66 48 0f 7e f7                    movq %xmm6, %rdi
    e9 1a ff ff ff                    jmp retry
more:
    66 0f ef ed                       pxor %xmm5, %xmm5
    48 89 f8                          mov %rdi, %rax
    49 89 f3                          mov %rsi, %r11
    83 e6 3f                          and $63, %esi
    49 c1 eb 06                       shr $6, %r11
    75 09                             jne blocks
refill:
    4c 89 d0                          mov %r10, %rax
    41 bb 02 00 00 00                 mov $2, %r11d
blocks:
    45 0f 10 42 60                    movups 96(%r10), %xmm8
    45 0f 10 4a 70                    movups 112(%r10), %xmm9
block:
    0f 10 05 f9 00 00 00              movups constants(%rip), %xmm0
    41 0f 28 c8                       movaps %xmm8, %xmm1
    41 0f 28 d1                       movaps %xmm9, %xmm2
    0f 28 dd                          movaps %xmm5, %xmm3
    b9 14 00 00 00                    mov $20, %ecx
round:
    66 0f fe c1                       paddd %xmm1, %xmm0
    66 0f ef d8                       pxor %xmm0, %xmm3
    f2 0f 70 db b1                    pshuflw $0xb1, %xmm3, %xmm3
    f3 0f 70 db b1                    pshufhw $0xb1, %xmm3, %xmm3
    66 0f fe d3                       paddd %xmm3, %xmm2
    66 0f ef ca                       pxor %xmm2, %xmm1
    0f 28 e1                          movaps %xmm1, %xmm4
    66 0f 72 f1 0c                    pslld $12, %xmm1
    66 0f 72 d4 14                    psrld $20, %xmm4
    66 0f eb cc                       por %xmm4, %xmm1
    66 0f fe c1                       paddd %xmm1, %xmm0
    66 0f ef d8                       pxor %xmm0, %xmm3
    0f 28 e3                          movaps %xmm3, %xmm4
    66 0f 72 f3 08                    pslld $8, %xmm3
    66 0f 72 d4 18                    psrld $24, %xmm4
    66 0f eb dc                       por %xmm4, %xmm3
    66 0f fe d3                       paddd %xmm3, %xmm2
    66 0f ef ca                       pxor %xmm2, %xmm1
    0f 28 e1                          movaps %xmm1, %xmm4
    66 0f 72 f1 07                    pslld $7, %xmm1
    66 0f 72 d4 19                    psrld $25, %xmm4
    66 0f eb cc                       por %xmm4, %xmm1
    66 0f 70 d2 4e                    pshufd $0x4e, %xmm2, %xmm2
    f6 c1 01                          test $1, %cl
    75 0c                             jne odd
    66 0f 70 c9 39                    pshufd $0x39, %xmm1, %xmm1
    66 0f 70 db 93                    pshufd $0x93, %xmm3, %xmm3
    eb 0a                             jmp next
odd:
    66 0f 70 c9 93                    pshufd $0x93, %xmm1, %xmm1
    66 0f 70 db 39                    pshufd $0x39, %xmm3, %xmm3
next:
    ff c9                             dec %ecx
    0f 85 7b ff ff ff                 jne round
    0f 10 25 5d 00 00 00              movups constants(%rip), %xmm4
    66 0f fe c4                       paddd %xmm4, %xmm0
    66 41 0f fe c8                    paddd %xmm8, %xmm1
    66 41 0f fe d1                    paddd %xmm9, %xmm2
    66 0f fe dd                       paddd %xmm5, %xmm3
    0f 11 00                          movups %xmm0, (%rax)
    0f 11 48 10                       movups %xmm1, 16(%rax)
    0f 11 50 20                       movups %xmm2, 32(%rax)
    0f 11 58 30                       movups %xmm3, 48(%rax)
    b9 01 00 00 00                    mov $1, %ecx
    66 48 0f 6e e1                    movq %rcx, %xmm4
    66 0f d4 ec                       paddq %xmm4, %xmm5
    48 83 c0 40                       add $64, %rax
    49 ff cb                          dec %r11
    0f 85 21 ff ff ff                 jne block
    49 8d 8a 80 00 00 00              lea 128(%r10), %rcx
    48 39 c8                          cmp %rcx, %rax
    74 08                             je refilled
    48 89 c7                          mov %rax, %rdi
    e9 fa fe ff ff                    jmp refill
refilled:
    41 c6 82 88 00 00 00 00           movb $0, 136(%r10)
    e9 6d fe ff ff                    jmp batch
constants:
"""
"""Bytes, then what they mean in the GNU assembler's language; a name alone is of the next line's place.
xmm6 and xmm7 keep the first two arguments, r9 how much there will be, r10 the state. Nothing is put on the
stack, as the tables for unwinding say."""

_CONSTANTS = b"expand 32-byte k"
_MEANING_AT = 38


def code_of_getrandom() -> bytes:
    """The function, position-independent. Linux: lib/vdso/getrandom.c, __cvdso_getrandom_data."""
    return b"".join(bytes.fromhex(line[:_MEANING_AT]) for line in _lines() if line[0] == " ") + _CONSTANTS


def assembly_of_getrandom() -> str:
    """The same for an assembler."""
    text = "\n".join(line[_MEANING_AT:] if line[0] == " " else line for line in _lines())
    return f'.text\n{text}\nconstants: .ascii "{_CONSTANTS.decode()}"\n'


def _lines() -> list[str]:
    return _ASSEMBLY.strip("\n").splitlines()
