name=world
cat <<END
hello $name, 2+2=$((2+2)), $(echo substituted)
	tab kept \$name
END
cat <<'END'
raw $name $(echo no)
END
cat <<-END
	tabs removed
		both
	END
cat <<<"here $name string"
tr a-z A-Z <<END | rev | tac
first
second
END
f() { cat; }
f <<A; f <<B
in a
A
in b
B
while read -r a b; do echo "$b-$a"; done <<END
1 one
2 two
END
head -c 70000 /dev/zero | tr '\0' z > big
x=$(cat big); wc -c <<<"$x"
cat <<END | wc -c
$x$x
END
