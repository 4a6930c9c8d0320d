mkdir d; for i in 1 2 3; do seq $i 1000 > d/f$i; done; ln -s f1 d/link; chmod 600 d/f2
tar --sort=name -cf d.tar d; tar tf d.tar; tar xf d.tar -C "$(mktemp -d)" && echo extracted
tar czf d.tgz d; mkdir out; tar xzf d.tgz -C out; diff -r d out/d && echo same; stat -c %a out/d/f2; readlink out/d/link
tar --sort=name -cf - d | (cd out && tar xvf - | tail -n 1); tar rf d.tar out/d/f1; tar tvf d.tar | wc -l; tar xOf d.tar d/f3 | md5sum; tar df d.tar && echo no difference
gzip -k d/f1; ls -s d/f1.gz > /dev/null; zcat d/f1.gz | cmp - d/f1 && echo same; gzip -t d/f1.gz && echo fine; gzip -l d/f1.gz | awk 'NR == 2 {print $2}'; gunzip -f d/f1.gz; echo junk | gzip -d 2>&1; echo $?
seq 20000 | gzip -9 | gunzip | md5sum; seq 20000 | md5sum
cat > Makefile <<'END'
objects = a.o b.o
all: program
program: $(objects)
	@echo link $^; cat $^ > $@
%.o: %.c
	@echo compile $<; tr a-z A-Z < $< > $@
.PHONY: clean fail
clean:
	rm -f program $(objects)
fail:
	@exit 3
	@echo not reached
shell = $(shell echo from the shell)
show:
	@echo $(shell) $(words $(objects)) $(patsubst %.o,%.c,$(objects))
END
echo int a > a.c; echo int b > b.c; make; make; touch -d '+1 hour' a.c; make 2>/dev/null; cat program; make show; make fail; echo $?; make clean; make -j 4 program | sort; make -n clean; make nothing; echo $?; make -s -C . show
diff -u <(seq 5) <(seq 2 6) | tail -n +3; diff -q a.c b.c; diff a.c a.c && echo equal; diff3 a.c b.c a.c 2>&1 | head -n 1; cmp a.c b.c; sdiff -s a.c b.c | tr -s '\t '
