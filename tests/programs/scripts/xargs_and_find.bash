seq 20 | xargs -n 5 echo
seq 8 | xargs -P4 -I{} sh -c 'sleep 0.0{}; echo {}' | sort -n | xargs
seq 3 | xargs -I% echo "<%>"
printf 'a b\0c d\0' | xargs -0 -n1 echo
echo | xargs -r echo never
seq 3 | xargs sh -c 'exit 1'; echo $?
seq 3 | xargs -n1 sh -c 'exit 255' 2>/dev/null; echo $?
mkdir -p t/a/b t/c; touch t/x.txt t/a/y.txt t/a/b/z.log; echo data > t/c/d.txt; ln -s x.txt t/link; touch -d @1000 t/x.txt
find t | sort
find t -name '*.txt' -type f | sort
find t -type d | sort | xargs ls -d
find t -name '*.txt' -exec echo found {} \; | sort
find t -type f -exec wc -c {} + | tail -n 1 | awk '{print $1}'
find t -size +0 -type f; find t -empty -type f | sort
find t -maxdepth 1 -mindepth 1 | sort; find t -path '*/b/*'
find t -type l -printf '%f -> %l\n'; find -L t -name link -type f
find t -name z.log -delete; find t -name z.log | wc -l
find t -newer t/x.txt -name d.txt | wc -l
find /nonexistent 2>&1; echo $?
find t -execdir pwd \; | sort -u | wc -l
find t -perm 644 -type f | wc -l
find t ! -type d -print0 | sort -z | tr '\0' ' '; echo
find /proc/self -maxdepth 0 -type d
