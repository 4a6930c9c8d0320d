"""The instructions of x86-64-v3, listed by opcode.

Operands have the names that the opcode map of Intel's manual gives them (volume 2, appendix A): E is a
register or memory by ModRM, M memory and R a register only, G the register in ModRM's middle; Z the
register in the opcode; V, W and U are their like for vectors; H is the vector and B the register that VEX
names; X is memory by a vector of indices; I an immediate, L a register in one, J a target, O an address.
Then b is a byte, w a word, v what the operand size says, z as much but at most four bytes.

A line is an opcode or a range, then its operands and attributes. A plus names a register that is always
used; what is in braces is a list by ModRM's middle field; on the left of a bar is what counts for memory,
on the right what counts for a register. `float` stands for what the x87's own table says.

What isn't listed is an invalid opcode, whatever the processor can do on which this runs: so a program finds
the same processor everywhere. That processor has x86-64-v3, AES, PCLMULQDQ and XSAVE without its later
variants; no AVX-512, TSX, SHA, ADX, protection keys or shadow stacks. RDRAND, RDSEED and FSGSBASE, which are
listed, are refused when it comes to them.
"""

from __future__ import annotations

ONE_BYTE = """
50-57 Z +rsp
58-5f Z +rsp
63 E G
68 Iz +rsp
69 E G Iz product
6a Ib +rsp
6b E G Ib product
6c-6f privileged
70-7f Jb conditional condition
84 Eb Gb logic
85 E G logic
86 Eb Gb lock
87 E G lock
88 Eb Gb
89 E G
8a Eb Gb
8b E G
8d M G
90 Z +rax
91-97 Z +rax
98 +rax
99 +rax +rdx
9b
9c push-flags +rsp read-all
9d pop-flags +rsp write-all
9e +rax load
9f +rax store
a0-a3 O +rax
a4-a5 +rsi +rdi string
a6-a7 +rsi +rdi string-compare
a8 Ib +rax logic
a9 Iz +rax logic
aa-ab +rax +rdi string
ac-ad +rax +rsi string
ae-af +rax +rdi string-compare
b0-b7 Zb Ib
b8-bf Z Iv
c2 Iw return +rsp
c3 return +rsp
c8 Iwb +rsp +rbp
c9 +rsp +rbp
ca Iw far +rsp
cb far +rsp
cc interrupt
cd Ib interrupt
cf interrupt-return +rsp write-all
d7 +rax +rbx
d8-df float
e0-e1 Jb loop +rcx reads-zero
e2-e3 Jb loop +rcx
e4-e7 Ib privileged
e8 Jz call +rsp
e9 Jz jump
eb Jb jump
ec-ef privileged
f1 interrupt
f4 privileged
f5 complement
f8-f9 set-carry
fa-fb privileged
fc-fd set-direction
80 { Eb Ib lock arithmetic ; Eb Ib lock logic ; Eb Ib lock carrying ; Eb Ib lock carrying ; Eb Ib lock logic \
; Eb Ib lock arithmetic ; Eb Ib lock logic ; Eb Ib arithmetic }
81 { E Iz lock arithmetic ; E Iz lock logic ; E Iz lock carrying ; E Iz lock carrying ; E Iz lock logic \
; E Iz lock arithmetic ; E Iz lock logic ; E Iz arithmetic }
83 { E Ib lock arithmetic ; E Ib lock logic ; E Ib lock carrying ; E Ib lock carrying ; E Ib lock logic \
; E Ib lock arithmetic ; E Ib lock logic ; E Ib arithmetic }
8c { E segment-store ; E ; E ; E segment-store ; E segment-store ; E segment-store ; - ; - }
8e { E segment-load ; - ; E segment-load ; E segment-load ; E segment-load ; E segment-load ; - ; - }
8f { E +rsp ; - ; - ; - ; - ; - ; - ; - }
c0 Eb Ib shift
c1 E Ib shift
c6 { Eb Ib ; - ; - ; - ; - ; - ; - ; - }
c7 { E Iz ; - ; - ; - ; - ; - ; - ; - }
d0 Eb shift
d1 E shift
d2 Eb +rcx shift
d3 E +rcx shift
f6 { Eb Ib logic ; Eb Ib logic ; Eb lock ; Eb lock arithmetic ; Eb +rax product ; Eb +rax product \
; Eb +rax quotient ; Eb +rax quotient }
f7 { E Iz logic ; E Iz logic ; E lock ; E lock arithmetic ; E +rax +rdx product ; E +rax +rdx product \
; E +rax +rdx quotient ; E +rax +rdx quotient }
fe { Eb lock increment ; Eb lock increment ; - ; - ; - ; - ; - ; - }
ff { E lock increment ; E lock increment ; E call-indirect +rsp ; M far +rsp \
; E jump-indirect ; M far ; E +rsp ; - }
"""

TWO_BYTE = """
05 syscall +rcx +r11 read-all
06-09 privileged
0d M
18-1d E
1e E
1f E
20 { V privileged ; - ; V privileged ; V privileged ; V privileged ; - ; - ; - }
21 { V privileged }
22 { V privileged ; - ; V privileged ; V privileged ; V privileged ; - ; - ; - }
23 { V privileged }
30 privileged
31 timestamp +rax +rdx
32-35 privileged
40-4f E G condition
80-8f Jz conditional condition
90-9f Eb condition
a0 segment-store +rsp
a1 segment-load +rsp
a2 cpuid +rax +rbx +rcx +rdx
a3 E G bit-test
a4 E G Ib shift
a5 E G +rcx
a8 segment-store +rsp
a9 segment-load +rsp
ab E G lock bit-test
ac E G Ib shift
ad E G +rcx
af E G product
b0 Eb Gb lock +rax arithmetic
b1 E G lock +rax arithmetic
b2 M G segment-load
b3 E G lock bit-test
b4-b5 M G segment-load
b6 Eb G
b7 E G
bb E G lock bit-test
be Eb G
bf E G
bc-bd E G bit-scan
c0 Eb Gb lock arithmetic
c1 E G lock arithmetic
c8-cf Z
02-03 E G descriptor zero
07 privileged
00 { E descriptor ; E descriptor ; E privileged ; E privileged \
; E descriptor zero ; E descriptor zero ; - ; - }
ba { - ; - ; - ; - ; E Ib bit-test ; E Ib lock bit-test ; E Ib lock bit-test ; E Ib lock bit-test }
01 { M descriptor ; M descriptor ; M privileged ; M privileged ; E descriptor ; - \
; E privileged ; M privileged }
"""

# By the mandatory prefix: none, 66, F3, F2.
TWO_BYTE_BY_PREFIX = (
    """
10-11 V W
12 V W
13 V M
14-15 V W
16 V W
17 V M
28-29 V W
2a V W
2b V M
2c-2d V W
2e-2f V W arithmetic
50 U G
51 V W
52-53 V W approximation
54-5f V W
60-6b V W
6e V E
6f V W
70 V W Ib
71 { - ; - ; U Ib ; - ; U Ib ; - ; U Ib ; - }
72 { - ; - ; U Ib ; - ; U Ib ; - ; U Ib ; - }
73 { - ; - ; U Ib ; - ; - ; - ; U Ib ; - }
74-76 V W
77
7e V E
7f V W
ae { M floating-store ; M ; M ; M ; M extended-save +rax +rdx ; M extended-restore +rax +rdx | U \
; U ; M | U }
c2 V W Ib
c3 M G
c4 V E Ib
c5 U G Ib
c6 V W Ib
c7 { - ; M lock +rax +rdx +rbx +rcx zero ; - ; - ; - ; - ; R random arithmetic ; R random arithmetic }
d1-d5 V W
d7 U G
d8-e5 V W
e7 V M
e8-ef V W
f1-f6 V W
f7 U V +rdi
f8-fe V W
""",
    """
10-11 V W
12-13 V M
14-15 V W
16-17 V M
28-29 V W
2a V W
2b V M
2c-2d V W
2e-2f V W arithmetic
50 U G
51 V W
54-5f V W
60-6d V W
6e V E
6f V W
70 V W Ib
71 { - ; - ; U Ib ; - ; U Ib ; - ; U Ib ; - }
72 { - ; - ; U Ib ; - ; U Ib ; - ; U Ib ; - }
73 { - ; - ; U Ib ; U Ib ; - ; - ; U Ib ; U Ib }
74-76 V W
7c-7d V W
7e V E
7f V W
c2 V W Ib
c4 V E Ib
c5 U G Ib
c6 V W Ib
c7 { - ; M lock +rax +rdx +rbx +rcx zero ; - ; - ; - ; - ; R random arithmetic ; R random arithmetic }
d0-d6 V W
d7 U G
d8-e6 V W
e7 V M
e8-ef V W
f1-f6 V W
f7 U V +rdi
f8-fe V W
""",
    """
10-11 V W
12 V W
16 V W
2a V E
2c-2d W G
51 V W
52-53 V W approximation
58-5f V W
6f V W
70 V W Ib
7e V W
7f V W
ae { R base ; R base ; R base ; R base ; - ; - ; - ; - }
b8 E G arithmetic
bc-bd E G bit-count
c2 V W Ib
c7 { - ; M lock +rax +rdx +rbx +rcx zero ; - ; - ; - ; - ; - ; - }
d6 U
e6 V W
""",
    """
10-11 V W
12 V W
2a V E
2c-2d W G
51 V W
58-5a V W
5c-5f V W
70 V W Ib
7c-7d V W
c2 V W Ib
c7 { - ; M lock +rax +rdx +rbx +rcx zero ; - ; - ; - ; - ; - ; - }
d0 V W
d6 U
e6 V W
f0 V M
""",
)

THREE_BYTE_38_BY_PREFIX = (
    """
00-0b V W
1c-1e V W
f0-f1 M G
""",
    """
00-0b V W
10 V W
14-15 V W
17 V W arithmetic
1c-1e V W
20-25 V W
28-29 V W
2a V M
2b V W
30-35 V W
37-41 V W
db-df V W
f0-f1 M G
""",
    "",
    """
f0 Eb G
f1 E G
""",
)

THREE_BYTE_3A_BY_PREFIX = (
    """
0f V W Ib
""",
    """
08-0f V W Ib
14-17 V E Ib
20 V E Ib
21 V W Ib
22 V E Ib
40-42 V W Ib
44 V W Ib
60 V W Ib +rax +rdx arithmetic
61 V W Ib +rax +rdx +rcx arithmetic
62 V W Ib arithmetic
63 V W Ib +rcx arithmetic
df V W Ib
""",
    "",
    "",
)

VEX_0F_BY_PREFIX = (
    """
10-11 V W
12 V H W L0
13 V M L0
14-15 V H W
16 V H W L0
17 V M L0
28-29 V W
2b V M
2e-2f V W arithmetic
50 U G
51 V W
52-53 V W approximation
54-59 V H W
5a-5b V W
5c-5f V H W
77
ae { - ; - ; M L0 ; M L0 ; - ; - ; - ; - }
c2 V H W Ib
c6 V H W Ib
""",
    """
10-11 V W
12 V H M L0
13 V M L0
14-15 V H W
16 V H M L0
17 V M L0
28-29 V W
2b V M
2e-2f V W arithmetic
50 U G
51 V W
54-59 V H W
5a-5b V W
5c-5f V H W
60-6d V H W
6e V E L0
6f V W
70 V W Ib
71 { - ; - ; U H Ib ; - ; U H Ib ; - ; U H Ib ; - }
72 { - ; - ; U H Ib ; - ; U H Ib ; - ; U H Ib ; - }
73 { - ; - ; U H Ib ; U H Ib ; - ; - ; U H Ib ; U H Ib }
74-76 V H W
7c-7d V H W
7e V E L0
7f V W
c2 V H W Ib
c4 V H E Ib L0
c5 U G Ib L0
c6 V H W Ib
d0-d5 V H W
d6 V W L0
d7 U G
d8-e5 V H W
e6 V W
e7 V M
e8-ef V H W
f1-f6 V H W
f7 U V +rdi L0
f8-fe V H W
""",
    """
10-11 V M | V H U
12 V W
16 V W
2a V H E
2c-2d W G
51 V H W
52-53 V H W approximation
58-5a V H W
5b V W
5c-5f V H W
6f V W
70 V W Ib
7e V W L0
7f V W
c2 V H W Ib
e6 V W
""",
    """
10-11 V M | V H U
12 V W
2a V H E
2c-2d W G
51 V H W
58-5a V H W
5c-5f V H W
70 V W Ib
7c-7d V H W
c2 V H W Ib
d0 V H W
e6 V W
f0 V M
""",
)

VEX_38_BY_PREFIX = (
    """
f2 B E G L0 lowest-bit
f3 { - ; B E L0 lowest-bit ; B E L0 lowest-bit ; B E L0 lowest-bit ; - ; - ; - ; - }
f5 B E G L0 lowest-bit
f7 B E G L0 extract
""",
    """
00-0b V H W
0c-0d V H W W0
0e-0f V W W0 arithmetic
13 V W W0
16 V H W W0 L1
17 V W arithmetic
18 V W W0
19 V W W0 L1
1a V M W0 L1
1c-1e V W
20-25 V W
28-29 V H W
2a V M
2b V H W
2c-2f V H M W0
30-35 V W
36 V H W W0 L1
37-40 V H W
41 V W L0
45 V H W
46 V H W W0
47 V H W
58-59 V W W0
5a V M W0 L1
78-79 V W W0
8c V H M
8e V H M
90-93 V H X
96-9f V H W
a6-af V H W
b6-bf V H W
db V W L0
dc-df V H W L0
f7 B E G L0
""",
    """
f5 B E G L0
f7 B E G L0
""",
    """
f5 B E G L0
f6 B E G L0 +rdx
f7 B E G L0
""",
)

VEX_3A_BY_PREFIX = (
    "",
    """
00-01 V W Ib W1 L1
02 V H W Ib W0
04-05 V W Ib W0
06 V H W Ib W0 L1
08-09 V W Ib
0a-0f V H W Ib
14-17 V E Ib L0
18 V H W Ib W0 L1
19 V W Ib W0 L1
1d V W Ib W0
20 V H E Ib L0
21 V H W Ib L0
22 V H E Ib L0
38 V H W Ib W0 L1
39 V W Ib W0 L1
40 V H W Ib
41 V H W Ib L0
42 V H W Ib
44 V H W Ib L0
46 V H W Ib W0 L1
4a-4c V H W L W0
60 V W Ib L0 +rax +rdx arithmetic
61 V W Ib L0 +rax +rdx +rcx arithmetic
62 V W Ib L0 arithmetic
63 V W Ib L0 +rcx arithmetic
df V W Ib L0
""",
    "",
    """
f0 E G Ib L0
""",
)
