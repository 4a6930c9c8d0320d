PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
mkdir pg && chown backup pg
as_backup() { HOME=/tmp/pg setpriv --reuid=backup --regid=backup --clear-groups "$@"; }
as_backup initdb -D pg/data -A trust -k > pg/initdb.log 2>&1
echo "initdb: $?"
start() { as_backup pg_ctl -D pg/data -w -l pg/log -o '-k /tmp/pg -p 15432 -c listen_addresses=127.0.0.1' start > pg/start.log 2>&1; echo "start: $?"; }
start
export PGUSER=backup PGDATABASE=postgres PGHOST=/tmp/pg PGPORT=15432
pgbench -i -q -s 1 > pg/bench.log 2>&1; echo "initialized: $?"
# Clients that contend for the rows of few tellers, by three threads, over TCP.
pgbench -h 127.0.0.1 -n -c 6 -j 3 -t 10 > pg/bench.log 2>&1; echo "loaded: $?"
grep 'number of transactions actually' pg/bench.log
psql -At -c 'select sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
# Parallel workers share memory with their leader.
psql -At <<'SQL' | grep -v 'Heap Fetches'
set min_parallel_table_scan_size = 0;
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
set max_parallel_workers_per_gather = 2;
explain (analyze, costs off, timing off, summary off) select sum(aid) from pgbench_accounts;
select count(*) from pgbench_accounts;
SQL
# Two sessions that wait for each other: one of them is told so.
for order in 'one two' 'two one'; do
    set -- $order
    psql -At -c "begin; select pg_advisory_xact_lock(length('$1')+(case '$1' when 'one' then 0 else 10 end)); select pg_sleep(0.5); select pg_advisory_xact_lock(length('$2')+(case '$2' when 'one' then 0 else 10 end)); commit" > pg/$1.out 2>&1 &
done
wait
cat pg/one.out pg/two.out | grep -c 'ERROR:  deadlock detected'
# A backend is killed in the middle: the server drops all memory, and recovers.
: > pg/victim
(echo 'select pg_backend_pid();'; until test -e killed; do sleep 0.05; done; echo 'select 1;') | psql -At > pg/victim 2>&1 &
victim=$!
until grep -q . pg/victim; do sleep 0.05; done
kill -9 "$(cat pg/victim)"
touch killed
wait $victim; echo "victim: $?"
until psql -At -c 'select count(*) from pgbench_accounts' 2> /dev/null; do sleep 0.1; done
# The whole server crashes; what was committed is there when it starts again.
psql -At -c 'create table kept as select generate_series(1, 1000) as n'
as_backup pg_ctl -D pg/data -m immediate -w stop > /dev/null; echo "crashed: $?"
start
psql -At -c 'select sum(n) from kept'
pg_dump -t kept | grep -c '^[0-9]'
psql -At -c 'vacuum analyze kept' -c 'checkpoint'
server=$(head -n 1 pg/data/postmaster.pid)
kill -TERM $server
while kill -0 $server 2> /dev/null; do sleep 0.05; done
as_backup pg_checksums -D pg/data | grep 'Bad'
ls /dev/shm | wc -l; ipcs -m | grep -c backup
