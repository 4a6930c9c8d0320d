coproc { while read x; do echo "<$x>"; done; }
echo one >&${COPROC[1]}; read -u ${COPROC[0]} r; echo "$r"
echo two >&${COPROC[1]}; read -u ${COPROC[0]} r; echo "$r"
eval "exec ${COPROC[1]}>&-"
wait $COPROC_PID; echo $?
coproc upper { tr a-z A-Z; }
echo shout >&${upper[1]}; exec {upper[1]}>&-; cat <&${upper[0]}
wait
