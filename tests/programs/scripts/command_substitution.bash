x=$(echo hello; exit 3); echo "$x $?"
echo "$(echo "$(echo "$(echo deep)")")"
echo `echo old \`echo style\``
y=$(printf 'a\nb\n\n\n'); echo "[$y]"
echo $(( $(seq 10 | wc -l) * 3 ))
echo "$(< /etc/hostname)"
for f in $(seq 1 3); do echo -n "$f "; done; echo
z=$(for i in {1..2000}; do echo line $i; done); echo "$z" | tail -n 1; echo ${#z}
v=$(cat <<END
inside a document
END
); echo "$v"
echo "${x:-none} ${unset:-default} ${x/h/J} ${x^^} ${#x} ${x:1:3}"
trap 'echo exiting' EXIT
w=$(trap 'echo sub exits' EXIT; echo body); echo "$w"
