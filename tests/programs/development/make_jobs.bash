mkdir project && cd project || exit
for number in 1 2 3 4 5 6 7 8; do
    printf '#include <stdio.h>\n#include "all.h"\nint f%d(int n)\n{\n\tint sum = 0;\n\tfor (int at = 0; at < n; at++)\n\t\tsum += at * %d;\n\tprintf("f%d %%d\\n", sum);\n\treturn sum;\n}\n' $number $number $number >f$number.c
    echo "int f$number(int n);" >>all.h
done
{
    printf '#include "all.h"\nint main(void)\n{\n\tint sum = 0;\n'
    for number in 1 2 3 4 5 6 7 8; do
        printf '\tsum += f%d(%d);\n' $number $number
    done
    printf '\treturn sum & 63;\n}\n'
} >main.c
cat >Makefile <<'END'
CFLAGS = -O2 -Wall -Werror
OBJECTS = main.o $(patsubst %,f%.o,1 2 3 4 5 6 7 8)
program: $(OBJECTS)
	$(CC) -o $@ $^
%.o: %.c all.h
	$(CC) $(CFLAGS) -c -o $@ $<
.PHONY: clean
clean:
	rm -f program *.o
END
make -j4 >log 2>&1
echo "make $?"
sort log
./program
echo "program $?"
make -j4
touch f3.c
make -j4
make -q
echo "up to date $?"
echo 'int f5(int n) { return n }' >f5.c
make -j4 >log 2>&1
echo "make $?"
grep -o 'f5.c:1:[0-9]*: error' log
make clean
