PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
mkdir pg && chown backup pg
as_backup() { HOME=/tmp/pg setpriv --reuid=backup --regid=backup --clear-groups "$@"; }
as_backup initdb -D pg/data -A trust > pg/initdb.log 2>&1
echo "initdb: $?"
as_backup pg_ctl -D pg/data -w -l pg/log -o '-k /tmp/pg -p 15432 -c listen_addresses=127.0.0.1' start > pg/start.log 2>&1
echo "start: $?"
sed -n '$p' pg/start.log
export PGUSER=backup PGDATABASE=postgres PGPORT=15432
psql -h /tmp/pg -c 'select 1 as one'
psql -h 127.0.0.1 -At -c 'select inet_server_addr(), inet_server_port()'
psql -h /tmp/pg <<'SQL'
create table animal (id serial primary key, name text unique not null, legs int);
insert into animal (name, legs) values ('ant', 6), ('bee', 6), ('cat', 4), ('duck', 2);
create index on animal (legs);
select legs, count(*), string_agg(name, ',' order by name) from animal group by legs order by legs;
insert into animal (name) values ('cat');
begin;
delete from animal;
rollback;
select count(*) from animal;
\copy animal (name) from program 'printf "eel\nfox\n"'
select * from animal order by id;
create function twice(n int) returns int language plpgsql as $$ begin return 2 * n; end $$;
select twice(21);
SQL
# Two sessions: the second waits for the first one's row lock.
mkfifo one two
: > one.out > two.out > listener.out
psql -h /tmp/pg -At < one > one.out 2>&1 &
first=$!
psql -h 127.0.0.1 -At < two > two.out 2>&1 &
second=$!
exec 5> one 6> two
echo "begin; update animal set legs = legs + 1 where name = 'cat';" >&5
until grep -q UPDATE one.out; do sleep 0.05; done
echo "update animal set legs = legs * 10 where name = 'cat'; select legs from animal where name = 'cat';" >&6
until psql -h /tmp/pg -At -c "select count(*) from pg_stat_activity where wait_event_type = 'Lock'" | grep -q 1; do sleep 0.05; done
echo "commit;" >&5
exec 5>&- 6>&-
wait $first; echo "first: $?"
wait $second; echo "second: $?"
cat one.out two.out
# A notification from one session to another.
(echo 'listen news;'; until test -e sent; do sleep 0.05; done; echo 'select 1;') | psql -h /tmp/pg -At > listener.out 2>&1 &
listener=$!
until grep -q LISTEN listener.out; do sleep 0.05; done
psql -h 127.0.0.1 -At -c "notify news, 'something new'"
touch sent
wait $listener
sed 's/PID [0-9]*/PID N/' listener.out
# A backend that is terminated, and one whose statement is cancelled.
psql -h /tmp/pg -At -c "set statement_timeout = 200; select pg_sleep(100)"; echo "cancelled: $?"
psql -h /tmp/pg -At -c "select pg_terminate_backend(pg_backend_pid())" > terminated 2>&1; echo "terminated: $?"
head -n 2 terminated
createdb -h /tmp/pg other && psql -h /tmp/pg -d other -At -c 'select current_database()'
as_backup pg_ctl -D pg/data -m fast -w stop > /dev/null; echo "stop: $?"
grep -o 'database system is shut down' pg/log
ls pg/.s.PGSQL* pg/data/postmaster.pid 2>&1
ipcs -m | grep -c backup
ls /dev/shm | wc -l
